//! The functions that a pickle may call, and what a call of each builds.

use tch::Kind;

use super::super::dtype;
use super::value::{Arena, Global, Object, Storage, VALUE, Value, View};
use super::{Dialect, Parse, quote};

/// The most dimensions that a tensor may have; libtorch's own kernels take no more.
const MAX_DIMENSIONS: usize = 64;

/// The name `module.name`, where it stands for a tensor or a container or, in a TorchScript archive, for one of its
/// own classes.
pub(super) fn global(arena: &mut Arena, dialect: Dialect, module: &str, name: &str) -> Parse<Option<Global>> {
    if dialect == Dialect::TorchScript && (module == "__torch__" || module.starts_with("__torch__.")) {
        let class = format!("{module}.{name}");
        arena.charge(VALUE + class.len())?;
        arena.classes.push(class);
        return Ok(Some(Global::ScriptClass(arena.classes.len() - 1)));
    }
    let marker = module == "torch.jit._pickle" && (name.starts_with("build_") || name == "restore_type_tag");
    if dialect == Dialect::TorchScript && marker {
        return Ok(Some(Global::Same));
    }
    Ok(known(module, name))
}

fn known(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("collections", "Counter") => Global::Counter,
        ("builtins" | "__builtin__", "set" | "frozenset") => Global::Set,
        ("builtins" | "__builtin__", "bytearray") => Global::ByteArray,
        ("_codecs", "encode") => Global::Encode,
        ("torch", "Size") => Global::Size,
        ("torch", "device") => Global::Device,
        // the arguments of the second only continue those of the first
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_tensor_v3") => Global::RebuildTensorV3,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Global::RebuildParameter,
        ("torch._tensor", "_rebuild_from_type_v2") => Global::RebuildFromType,
        ("torch", "Tensor") | ("torch.nn.parameter", "Parameter") => Global::TensorClass,
        ("torch" | "torch.cuda" | "torch.storage", class) if class.ends_with("Storage") => {
            Global::StorageClass(dtype::from_storage_class(class)?)
        }
        ("torch", other) => Global::Dtype(dtype::from_torch(other)?),
        _ => return None,
    })
}

/// What `callee(*arguments)` builds.
pub(super) fn call(arena: &mut Arena, callee: Value, arguments: Value) -> Parse<Value> {
    let Some(&Object::Global(global)) = arena.object(callee) else {
        return Err(format!("is a damaged pickle: it calls {}", arena.describe(callee)));
    };
    let Some(Object::Tuple(arguments)) = arena.object(arguments) else {
        return Err(format!("is a damaged pickle: it calls a function with {}", arena.describe(arguments)));
    };
    // the longest call that torch.save writes has eight arguments
    let arguments: Vec<Value> = arguments.iter().copied().take(8).collect();
    let first = arguments.first().copied();
    match global {
        Global::OrderedDict | Global::Counter => {
            let pairs = first.map_or(Ok(Vec::new()), |items| pairs_of(arena, items))?;
            arena.add(Object::Dict(pairs))
        }
        Global::Set => arena.add(Object::Set),
        Global::ByteArray | Global::Encode => arena.add(Object::Bytes),
        // an enumeration's member; modules come by NEWOBJ
        Global::Device | Global::ScriptClass(_) => arena.add(Object::Other),
        Global::Size => match first {
            Some(items) => Ok(items),
            None => arena.add(Object::Tuple(Vec::new())),
        },
        Global::Same => first.ok_or_else(|| "is a damaged pickle: it marks the type of nothing".into()),
        Global::RebuildTensor => tensor(arena, &arguments, None),
        Global::RebuildTensorV3 => {
            let kind = match arguments.get(6).and_then(|&kind| arena.object(kind)) {
                Some(&Object::Global(Global::Dtype(kind))) => kind,
                _ => return Err("has a tensor without a type: it is damaged".into()),
            };
            tensor(arena, &arguments, Some(kind))
        }
        Global::RebuildParameter => match first {
            Some(inner) if arena.tensor(inner).is_some() => Ok(inner),
            _ => Err("has a parameter that is not a tensor".into()),
        },
        Global::RebuildFromType => {
            let class = arguments.get(1).and_then(|&class| arena.object(class));
            match (&arguments[..], class) {
                (&[function, _, inner, ..], Some(Object::Global(Global::TensorClass)))
                    if !is_rebuild_from_type(arena, function) =>
                {
                    call(arena, function, inner)
                }
                _ => Err("has a tensor of a subclass, which cannot be rebuilt without its code; re-save plain tensors"
                    .into()),
            }
        }
        Global::Dtype(_) | Global::StorageClass(_) | Global::TensorClass => Err(
            "makes an instance of a class, not only tensors; re-save in Python with torch.save(model.state_dict(), …)"
                .into(),
        ),
    }
}

/// Whether a call of `function` would come back to where it is made from.
fn is_rebuild_from_type(arena: &Arena, function: Value) -> bool {
    matches!(arena.object(function), Some(Object::Global(Global::RebuildFromType)))
}

/// The entries of a dictionary, or of a sequence of pairs as Python 2 wrote it.
fn pairs_of(arena: &mut Arena, items: Value) -> Parse<Vec<(Value, Value)>> {
    let fault = || "makes a dictionary of something else: it is damaged".to_string();
    // counted before it is copied: the same long list may be the argument of many calls
    let length =
        arena.dict(items).map(<[_]>::len).or_else(|| arena.sequence(items).map(<[_]>::len)).ok_or_else(fault)?;
    arena.charge(length.saturating_mul(size_of::<(Value, Value)>()))?;
    if let Some(pairs) = arena.dict(items) {
        return Ok(pairs.to_vec());
    }
    let pair = |&item: &Value| match arena.sequence(item) {
        Some(&[key, value]) => Ok((key, value)),
        _ => Err(fault()),
    };
    arena.sequence(items).unwrap_or_default().iter().map(pair).collect()
}

/// A new object of `class`, where that is a class of the archive's own code.
pub(super) fn instance(arena: &mut Arena, class: Value) -> Parse<Option<Value>> {
    match arena.object(class) {
        Some(&Object::Global(Global::ScriptClass(class))) => {
            arena.add(Object::Instance { class, state: Value::None }).map(Some)
        }
        _ => Ok(None),
    }
}

/// The storage that a persistent id refers to: `("storage", class, key, location, elements[, view])`.
pub(super) fn persistent(arena: &mut Arena, id: Value) -> Parse<Value> {
    let fault =
        || "refers to something outside that is not a storage: it is damaged or not from torch.save".to_string();
    let parts = arena.sequence(id).ok_or_else(fault)?;
    let (&[tag, class, key, _location, elements], view) = parts.split_first_chunk::<5>().ok_or_else(fault)?;
    let (Some("storage"), Some(&Object::Global(Global::StorageClass(kind))), Some(key), Value::Int(elements)) =
        (arena.text(tag), arena.object(class), arena.text(key), elements)
    else {
        return Err(fault());
    };
    // very old files may look at a part of a storage: `(key, offset, elements)`
    let offset = match view.first().map(|&view| (view, arena.sequence(view))) {
        None | Some((Value::None, _)) => 0,
        Some((_, Some(&[_, Value::Int(offset), Value::Int(_)]))) => offset,
        Some(_) => return Err(fault()),
    };
    let elements = u64::try_from(elements).map_err(|_| fault())?;
    let storage = Storage { key: key.to_string(), kind, elements };
    let index = arena.add_storage(storage)?;
    arena.add(Object::Storage { index, offset })
}

/// `_rebuild_tensor(storage, offset, size, stride, …)`, of type `kind` if the storage is untyped.
fn tensor(arena: &mut Arena, arguments: &[Value], kind: Option<Kind>) -> Parse<Value> {
    let fault = || "describes a tensor in a way that torch.save does not: it is damaged".to_string();
    let &[storage, Value::Int(offset), size, stride, ..] = arguments else { return Err(fault()) };
    let Some(&Object::Storage { index, offset: base }) = arena.object(storage) else { return Err(fault()) };
    let numbers = |value: Value| -> Parse<Vec<i64>> {
        let items = arena.sequence(value).filter(|items| items.len() <= MAX_DIMENSIONS).ok_or_else(fault)?;
        items.iter().map(|item| if let Value::Int(number) = item { Ok(*number) } else { Err(fault()) }).collect()
    };
    let (size, stride) = (numbers(size)?, numbers(stride)?);
    let offset = offset.checked_add(base).ok_or_else(fault)?;
    let stored = arena.storages[index].kind;
    if size.len() != stride.len() || kind.is_some() && stored != Kind::Uint8 {
        return Err(format!(
            "describes a tensor of storage {} inconsistently: it is damaged",
            quote(&arena.storages[index].key)
        ));
    }
    arena.charge(size_of::<i64>() * 2 * size.len())?;
    arena.charge(size_of::<View>())?;
    let view = View { storage: index, kind: kind.unwrap_or(stored), offset, size, stride };
    arena.add(Object::Tensor(Box::new(view)))
}
