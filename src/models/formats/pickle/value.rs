//! What a pickle may hold. Everything compound lives in one [`Arena`] and is referred to by its index, so that cycles
//! and deep nesting cost neither leaks nor recursion.

use tch::Kind;

use super::super::budget::Budget;
use super::{Parse, quote};

/// What growing a list costs: the old memory and the doubled new one are there at the same time.
const GROWTH: usize = 3;

/// What a value on the stack or in a list takes, at most.
pub(crate) const VALUE: usize = GROWTH * size_of::<Value>();

/// What an object takes, at most, beside what it holds.
const OBJECT: usize = GROWTH * size_of::<Object>();

/// A value on the machine's stack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits, whose value nothing here needs.
    LargeInt,
    Float,
    Object(usize),
}

/// What a [`Value::Object`] stands for.
#[derive(Debug)]
pub(crate) enum Object {
    Text(String),
    Bytes,
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Set,
    Dict(Vec<(Value, Value)>),
    Global(Global),
    /// An instance of a TorchScript class, and what BUILD gave it.
    Instance {
        class: usize,
        state: Value,
    },
    /// A storage, seen from an offset counted in its elements.
    Storage {
        index: usize,
        offset: i64,
    },
    /// Boxed: most objects of a pickle are smaller.
    Tensor(Box<View>),
    /// Something harmless without content of interest: a device, a type.
    Other,
}

/// The names that a pickle may refer to. All else is refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Global {
    OrderedDict,
    Counter,
    Set,
    ByteArray,
    Encode,
    Size,
    Device,
    RebuildTensor,
    RebuildTensorV3,
    RebuildParameter,
    RebuildFromType,
    Dtype(Kind),
    StorageClass(Kind),
    /// A class whose name says only that a tensor is a tensor or a parameter.
    TensorClass,
    /// TorchScript's markers of an element type, which give back what they are called with.
    Same,
    /// A class of a TorchScript archive, by its place in [`Arena::classes`].
    ScriptClass(usize),
}

/// The memory behind one or more tensors, as the pickle describes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Storage {
    /// Its name in the file.
    pub key: String,
    pub kind: Kind,
    /// Number of elements of `kind`.
    pub elements: u64,
}

impl Storage {
    /// Its size in bytes.
    pub fn bytes(&self) -> Parse<u64> {
        self.elements
            .checked_mul(self.kind.elt_size_in_bytes() as u64)
            .ok_or_else(|| format!("claims {} elements in storage {}: it is damaged", self.elements, quote(&self.key)))
    }
}

/// A tensor, as a view of a storage; offset and strides count elements of `kind`.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub storage: usize,
    pub kind: Kind,
    pub offset: i64,
    pub size: Vec<i64>,
    pub stride: Vec<i64>,
}

/// All objects of one pickle, and the storages they refer to.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    objects: Vec<Object>,
    pub storages: Vec<Storage>,
    by_key: std::collections::BTreeMap<String, usize>,
    /// Names of the TorchScript classes that were met.
    pub classes: Vec<String>,
    /// What may still be allocated.
    pub budget: Budget,
}

impl Arena {
    /// An empty arena that may grow to what `budget` allows.
    pub fn new(budget: Budget) -> Self {
        Self { budget, ..Self::default() }
    }

    /// Counts `bytes` of memory that are about to be taken.
    pub fn charge(&mut self, bytes: usize) -> Parse<()> {
        self.budget.take(bytes as u64)
    }

    /// Takes `object` in.
    pub fn add(&mut self, object: Object) -> Parse<Value> {
        self.charge(OBJECT)?;
        self.objects.push(object);
        Ok(Value::Object(self.objects.len() - 1))
    }

    /// Takes a storage in, once for each key.
    pub fn add_storage(&mut self, storage: Storage) -> Parse<usize> {
        if let Some(&index) = self.by_key.get(&storage.key) {
            if self.storages[index] != storage {
                return Err(format!("describes storage {} in two ways: it is damaged", quote(&storage.key)));
            }
            return Ok(index);
        }
        self.charge(OBJECT + 2 * storage.key.len())?;
        self.by_key.insert(storage.key.clone(), self.storages.len());
        self.storages.push(storage);
        Ok(self.storages.len() - 1)
    }

    /// The storage that the file calls `key`.
    pub fn storage_of(&self, key: &str) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    pub fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(index) => self.objects.get(index),
            _ => None,
        }
    }

    pub fn object_mut(&mut self, value: Value) -> Option<&mut Object> {
        match value {
            Value::Object(index) => self.objects.get_mut(index),
            _ => None,
        }
    }

    pub fn text(&self, value: Value) -> Option<&str> {
        match self.object(value)? {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.object(value)? {
            Object::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The elements of a tuple or a list.
    pub fn sequence(&self, value: Value) -> Option<&[Value]> {
        match self.object(value)? {
            Object::Tuple(items) | Object::List(items) => Some(items),
            _ => None,
        }
    }

    pub fn tensor(&self, value: Value) -> Option<&View> {
        match self.object(value)? {
            Object::Tensor(view) => Some(view),
            _ => None,
        }
    }

    /// What `value` is, for messages.
    pub fn describe(&self, value: Value) -> &'static str {
        match (value, self.object(value)) {
            (Value::None, _) => "None",
            (Value::Bool(_), _) => "a truth value",
            (Value::Int(_) | Value::LargeInt | Value::Float, _) => "a number",
            (_, Some(Object::Text(_))) => "a text",
            (_, Some(Object::Bytes)) => "bytes",
            (_, Some(Object::List(_))) => "a list",
            (_, Some(Object::Tuple(_))) => "a tuple",
            (_, Some(Object::Set)) => "a set",
            (_, Some(Object::Dict(_))) => "a dictionary",
            (_, Some(Object::Tensor(_))) => "a single tensor",
            (_, Some(Object::Storage { .. })) => "a bare storage",
            (_, Some(Object::Instance { .. })) => "a TorchScript object",
            _ => "something else",
        }
    }
}
