//! `greenroom logs`: what the actors of a tree have written and logged.
//!
//! Owns: the layout of a line. Must not know: who keeps them. Invariant: no control character of a
//! guest reaches the terminal.

use greenroom::{BookedLine, LineSource, LogRecord, harmless_line};

use crate::error::CliError;
use crate::live::{self, Layout};
use crate::screen::word;
use crate::values::write_line;

/// Show what an actor, and those below it, have written and logged
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
A host keeps the last 1,000 lines of its tree.
Examples:
  greenroom logs counter
  greenroom logs -f counter/worker_0
  greenroom logs counter -o json | jq -r .text")]
pub(crate) struct LogsArgs {
    /// A live actor: its name, NAME/CHILD for one below it, or the beginning of its uuid
    #[arg(value_name = "TARGET")]
    target: String,

    /// Go on with what comes, until the actor ends
    #[arg(short, long)]
    follow: bool,

    /// How the lines are printed
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Layout,
}

pub(crate) fn logs(args: &LogsArgs) -> Result<(), CliError> {
    live::work(async |machine| {
        let mut stream = machine.logs(&live::target(&args.target)?, args.follow).await?;
        let broken = |error: std::io::Error| CliError::ended(125, format!("the host is not heard: {error}"));
        while let Some(record) = stream.next().await.map_err(broken)? {
            match args.output {
                Layout::Text => write_line(&text(&record))?,
                Layout::Json => write_line(&json(&record).to_string())?,
            }
        }
        Ok(())
    })
}

fn text(record: &LogRecord) -> String {
    match record {
        LogRecord::Missed(count) => format!("({count} lines are missing here: they came too fast)"),
        LogRecord::Line(line) => {
            let source = match &line.source {
                LineSource::Stdout => "  out".to_owned(),
                LineSource::Stderr => "  err".to_owned(),
                LineSource::Log { level, .. } => word(*level).to_owned(),
            };
            let task = match &line.source {
                LineSource::Log { task: Some(task), .. } => format!("{task}: "),
                _ => String::new(),
            };
            let text = format!("{} {source} [{}] {task}{}", time(line), line.path.join("/"), line.text);
            harmless_line(&text).into_owned()
        }
    }
}

fn json(record: &LogRecord) -> serde_json::Value {
    match record {
        LogRecord::Missed(count) => serde_json::json!({ "missed": count }),
        LogRecord::Line(line) => {
            let (source, level, target, task) = match &line.source {
                LineSource::Stdout => ("stdout", None, None, None),
                LineSource::Stderr => ("stderr", None, None, None),
                LineSource::Log { level, target, task } => {
                    ("log", Some(word(*level).trim().to_lowercase()), Some(target), task.as_ref())
                }
            };
            serde_json::json!({
                "time": time(line), "actor": line.path.join("/"), "uuid": line.actor.uuid,
                "source": source, "level": level, "target": target, "task": task, "text": line.text,
            })
        }
    }
}

fn time(line: &BookedLine) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(line.time);
    humantime::format_rfc3339_millis(time).to_string()
}
