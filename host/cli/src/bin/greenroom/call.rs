//! `greenroom call`: one function of a live actor, or of a component.
//!
//! Owns: its options, and what becomes of the outcome. Must not know: how the function is reached.
//! Invariant: a component is called as it is: it needs no wrapper, no SDK and no manifest.

use std::time::Duration;

use greenroom::CallOptions;

use crate::args::AppFlags;
use crate::error::CliError;
use crate::functions::Kind;
use crate::reach::{Callee, failed, reach};
use crate::values::{Arguments, Format, print_as};

/// Call a function of a live actor, or of a component file
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Values are WAVE or JSON where the function's types are known, JSON otherwise; plain text needs no
quotes. Bytes are @FILE, base64 in quotes, or a list of numbers.
Examples:
  greenroom call counter count:add by=2
  greenroom call shapes.wasm area 'shape=circle(2.5)'
  greenroom call shapes.wasm area --json '{\"shape\": {\"circle\": 2.5}}' -o json
  greenroom call thumbs.wasm resize image=@photo.jpg width=200 -o cbor >small.cbor

Exit status:
  0 it returned a value       1 it failed         2 bad usage or input
  3 there is no such actor    124 --timeout passed    125 the host failed
  130 SIGINT, 143 SIGTERM")]
pub(crate) struct CallArgs {
    #[command(flatten)]
    callee: Callee,

    #[command(flatten)]
    arguments: Arguments,

    /// Give up after this long, such as 500ms or 5m; the task is cancelled
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,

    /// How the result is printed
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,

    #[command(flatten, next_help_heading = "Options for component files")]
    app: AppFlags,
}

pub(crate) fn call(args: &CallArgs) -> Result<(), CliError> {
    let arguments = args.arguments.read()?;
    let (value, function) = reach(&args.callee, &args.app, &arguments, async |portal, function, kwargs| {
        if let Kind::Portal(Some(signature)) = &function.kind
            && signature.context.is_some()
        {
            let message = format!("`{}` is to be opened as a context, not called", function.name);
            return Err(CliError::input(message).hint("`greenroom stream` opens it"));
        }
        let options = CallOptions { timeout: args.timeout, ..CallOptions::default() };
        match portal.call_with(&function.name, kwargs.into(), options).await {
            Ok(value) => Ok((value, function.clone())),
            Err(error) => Err(failed(&error, function, args.timeout)),
        }
    })?;
    let ty = match &function.kind {
        Kind::Plain(ty) => ty.result.as_ref(),
        Kind::Portal(_) => None,
    };
    print_as(&value, args.output, ty)
}
