//! Types as a compiled component has them.
//!
//! Owns: turning wasmtime's types into [`FunctionType`], and saying why one cannot be. Must not
//! know: values, the component's text. Invariant: a type that passes is small enough to be shown,
//! checked and sent without a second thought.

use std::fmt;

use greenroom_abi::payload::MAX_DEPTH;
use wasmtime::component::Type;
use wasmtime::component::types::ComponentFunc;

use super::types::{FunctionType, ValueType};

/// How many parts the type of a function may have. A component can name a type that, written
/// out, has a million.
const MAX_PARTS: usize = 4096;

/// What a function has that no value stands for.
enum Foreign {
    Resource,
    Stream(Option<Type>),
    Future,
    Other(&'static str),
    TooLarge,
    TooDeep,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource => {
                f.write_str("holds a resource, a handle that means nothing outside its instance")
            }
            Self::Stream(element) => {
                let element = element.as_ref().and_then(|ty| Reader::default().value(ty, 0).ok());
                let element = element.map(|ty| format!("<{ty}>")).unwrap_or_default();
                write!(
                    f,
                    "holds a stream{element}: wasmtime 48 reads and writes a stream only where the type of \
                     its elements was known when the host was built"
                )
            }
            Self::Future => f.write_str(
                "holds a future: wasmtime 48 reads and writes one only where the type of its value was \
                 known when the host was built",
            ),
            Self::Other(what) => write!(f, "holds {what}, for which there is no form outside the component"),
            Self::TooLarge => write!(f, "makes the function's type larger than {MAX_PARTS} parts"),
            Self::TooDeep => write!(f, "is nested deeper than the {MAX_DEPTH} levels of a payload"),
        }
    }
}

/// The type of a function, or in words why nobody outside the component can call it.
pub(crate) fn function_type(func: &ComponentFunc) -> Result<FunctionType, String> {
    let mut reader = Reader::default();
    let mut params = Vec::new();
    for (name, ty) in func.params() {
        let ty = reader.value(&ty, 1).map_err(|foreign| format!("its parameter `{name}` {foreign}"))?;
        params.push((name.to_owned(), ty));
    }
    let result = func.results().next();
    let result = result.map(|ty| reader.value(&ty, 0).map_err(|foreign| format!("its result {foreign}")));
    Ok(FunctionType { params, result: result.transpose()? })
}

/// Counts the parts of one function's type.
#[derive(Default)]
struct Reader {
    parts: usize,
}

impl Reader {
    fn value(&mut self, ty: &Type, depth: usize) -> Result<ValueType, Foreign> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(Foreign::TooLarge);
        }
        if depth > MAX_DEPTH {
            return Err(Foreign::TooDeep);
        }
        let deeper = depth + 1;
        Ok(match ty {
            Type::Bool => ValueType::Bool,
            Type::S8 => ValueType::S8,
            Type::U8 => ValueType::U8,
            Type::S16 => ValueType::S16,
            Type::U16 => ValueType::U16,
            Type::S32 => ValueType::S32,
            Type::U32 => ValueType::U32,
            Type::S64 => ValueType::S64,
            Type::U64 => ValueType::U64,
            Type::Float32 => ValueType::F32,
            Type::Float64 => ValueType::F64,
            Type::Char => ValueType::Char,
            Type::String => ValueType::String,
            Type::List(list) => ValueType::List(self.boxed(&list.ty(), deeper)?),
            Type::Option(option) => ValueType::Option(self.boxed(&option.ty(), deeper)?),
            Type::Tuple(tuple) => {
                ValueType::Tuple(tuple.types().map(|ty| self.value(&ty, deeper)).collect::<Result<_, _>>()?)
            }
            Type::Record(record) => {
                let fields = record.fields().map(|f| Ok((f.name.to_owned(), self.value(&f.ty, deeper)?)));
                ValueType::Record { name: None, fields: fields.collect::<Result<_, _>>()? }
            }
            Type::Variant(variant) => {
                let cases = variant.cases().map(|case| {
                    let payload = case.ty.map(|ty| self.value(&ty, deeper)).transpose()?;
                    Ok((case.name.to_owned(), payload))
                });
                ValueType::Variant { name: None, cases: cases.collect::<Result<_, _>>()? }
            }
            Type::Enum(all) => {
                let cases: Vec<String> = all.names().map(str::to_owned).collect();
                self.parts += cases.len();
                ValueType::Enum { name: None, cases }
            }
            Type::Flags(all) => {
                let flags: Vec<String> = all.names().map(str::to_owned).collect();
                self.parts += flags.len();
                ValueType::Flags { name: None, flags }
            }
            Type::Result(result) => ValueType::Result {
                ok: result.ok().map(|ty| self.boxed(&ty, deeper)).transpose()?,
                err: result.err().map(|ty| self.boxed(&ty, deeper)).transpose()?,
            },
            Type::Own(_) | Type::Borrow(_) => return Err(Foreign::Resource),
            Type::Stream(stream) => return Err(Foreign::Stream(stream.ty())),
            Type::Future(_) => return Err(Foreign::Future),
            Type::ErrorContext => return Err(Foreign::Other("an error context")),
            Type::Map(_) => return Err(Foreign::Other("a map")),
            Type::FixedLengthList(_) => return Err(Foreign::Other("a list of fixed length")),
        })
    }

    fn boxed(&mut self, ty: &Type, depth: usize) -> Result<Box<ValueType>, Foreign> {
        self.value(ty, depth).map(Box::new)
    }
}
