//! Every parameter and buffer of a model under its PyTorch name, in sorted order.
//!
//! tch keeps variables in a hash map, without buffers' roles and without a way to freeze one of them; here they are
//! sorted (so sums over them and files of them are the same in every run), and freezing is by name.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use super::init::Init;
use super::statistics::Switch;
use crate::models::formats::StateDict;
use crate::{Error, Result, native};

/// Whether a tensor is learned by gradient or kept beside, as batch-norm statistics are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Learned by gradient.
    Parameter,
    /// State that is saved but has no gradient.
    Buffer,
}

/// A named tensor of a model. Clones of it, in layers and optimizers, share its values.
#[derive(Debug)]
pub struct Entry {
    /// The tensor.
    pub tensor: Tensor,
    /// Parameter or buffer.
    pub role: Role,
}

/// The parameters and buffers of one model.
#[derive(Debug)]
pub struct Store {
    entries: BTreeMap<String, Entry>,
    /// Per batch-norm layer, by its path: true while its statistics are held fixed.
    norms: BTreeMap<String, Switch>,
    device: Device,
}

impl Store {
    /// The device that the tensors live on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// All entries, sorted by name.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// The entry of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.entries.get(name).map(|entry| &entry.tensor)
    }

    /// All parameters, sorted by name, trainable or not.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.entries().filter(|(_, entry)| entry.role == Role::Parameter).map(|(name, entry)| (name, &entry.tensor))
    }

    /// The parameters that learn, sorted by name.
    pub fn trainable(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters().filter(|(_, tensor)| tensor.requires_grad())
    }

    /// Paths of all batch-norm layers, sorted.
    pub fn norm_layers(&self) -> impl Iterator<Item = &str> {
        self.norms.keys().map(String::as_str)
    }

    /// Names of the parameters that belong to normalisation layers.
    pub fn is_norm(&self, name: &str) -> bool {
        name.rsplit_once('.').is_some_and(|(layer, _)| self.norms.contains_key(layer))
    }

    /// Freezes exactly the parameters in `frozen` and lets all others learn. The statistics of a batch-norm layer are
    /// held when its own parameters are frozen, or when `hold_all_statistics`.
    ///
    /// What is frozen has no gradient and is given to no optimizer; [`Store::entries`] of it do not change by a bit.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn freeze(&self, frozen: &BTreeSet<String>, hold_all_statistics: bool) -> Result<()> {
        let mut still = vec![];
        for (name, tensor) in self.parameters() {
            let learns = !frozen.contains(name);
            // set_requires_grad answers a handle on the same tensor.
            let _same = tensor.set_requires_grad(learns);
            if !learns {
                still.push(tensor.shallow_clone());
            }
        }
        native::forget_gradients(&still)?;
        for (layer, held) in &self.norms {
            held.hold(hold_all_statistics || frozen.contains(&format!("{layer}.weight")));
        }
        Ok(())
    }

    /// Makes the statistics of all batch-norm layers of our own those of the next batches, with equal weight, whether these come in
    /// training or not and whether the layers are held or not: `batch` is the number of the batch that comes next, from 1 on. 0
    /// goes back to what was before.
    pub(crate) fn average_statistics(&self, batch: u64) {
        for statistics in self.norms.values() {
            statistics.average(batch);
        }
    }

    /// Names of the parameters that do not learn, sorted.
    pub fn frozen(&self) -> BTreeSet<String> {
        self.parameters().filter(|(_, tensor)| !tensor.requires_grad()).map(|(name, _)| name.to_string()).collect()
    }

    /// Paths of the batch-norm layers whose statistics are held fixed, sorted.
    pub fn held_norms(&self) -> Vec<&str> {
        self.norms.iter().filter(|(_, held)| held.are_held()).map(|(name, _)| name.as_str()).collect()
    }

    /// Lays every convolution kernel out with its channels innermost, in place.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn to_channels_last(&self) -> Result<()> {
        for (_, tensor) in self.parameters().filter(|(_, tensor)| tensor.dim() == 4) {
            native::set_data(tensor, &native::to_channels_last(&tensor.detach())?)?;
        }
        Ok(())
    }

    /// The same tensors under other names; where `rename` has none, the entry is dropped, and a batch-norm layer with the last
    /// of its entries.
    pub(crate) fn renamed(self, rename: impl Fn(&str) -> Option<String>) -> Self {
        // a layer is named by any of its tensors
        let layer = |path: &str| {
            let name = rename(&format!("{path}.weight"))?;
            Some(name.strip_suffix(".weight").map_or_else(|| name.clone(), str::to_string))
        };
        let norms = self.norms.into_iter().filter_map(|(path, held)| Some((layer(&path)?, held))).collect();
        let entries = self.entries.into_iter().filter_map(|(name, entry)| Some((rename(&name)?, entry))).collect();
        Self { entries, norms, device: self.device }
    }

    /// Takes in all of another store.
    ///
    /// # Errors
    /// A name that both have.
    pub(crate) fn absorb(&mut self, other: Self) -> Result<()> {
        if let Some(name) = other.entries.keys().find(|name| self.entries.contains_key(*name)) {
            return Err(Error::Model(format!("two tensors of the model are named {name}")));
        }
        self.entries.extend(other.entries);
        self.norms.extend(other.norms);
        Ok(())
    }

    /// Another store of the same tensors and those of `other`: what one of them is told, as to freeze, all are told.
    ///
    /// # Errors
    /// A name that both have.
    pub(crate) fn with(&self, other: &Self) -> Result<Self> {
        let same = |store: &Self| {
            let entry = |entry: &Entry| Entry { tensor: entry.tensor.shallow_clone(), role: entry.role };
            Self {
                entries: store.entries.iter().map(|(name, one)| (name.clone(), entry(one))).collect(),
                norms: store.norms.clone(),
                device: store.device,
            }
        };
        let mut both = same(self);
        both.absorb(same(other))?;
        Ok(both)
    }

    /// The SHA-256, in hexadecimal, over names and bytes of the entries that `wanted` picks.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn digest(&self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let mut hash = Sha256::new();
        for (name, entry) in self.entries().filter(|(name, _)| wanted(name)) {
            let bytes = entry.tensor.detach().f_to_device(Device::Cpu)?.f_contiguous()?.f_reshape([-1])?;
            let bytes = bytes.f_view_dtype(Kind::Uint8)?;
            hash.update(name.as_bytes());
            hash.update(Vec::<u8>::try_from(&bytes)?);
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Named handles on all tensors; they share the values.
    pub fn views(&self) -> BTreeMap<String, Tensor> {
        self.entries().map(|(name, entry)| (name.to_string(), entry.tensor.shallow_clone())).collect()
    }

    /// A deep copy on the CPU, for a file: training on does not change it.
    ///
    /// # Errors
    /// What libtorch refuses, as when memory runs out.
    pub fn snapshot(&self) -> Result<StateDict> {
        let copy = |entry: &Entry| -> Result<Tensor> {
            Ok(entry.tensor.detach().f_to_device(Device::Cpu)?.f_contiguous()?.copy())
        };
        let tensors =
            self.entries.iter().map(|(name, entry)| Ok((name.clone(), copy(entry)?))).collect::<Result<_>>()?;
        Ok(StateDict::new(tensors, BTreeMap::new()))
    }

    /// Copies values in from a dictionary that holds exactly this store's names and shapes.
    ///
    /// # Errors
    /// A name that is missing or unknown, or another shape.
    pub fn restore(&self, dict: &StateDict) -> Result<()> {
        let report = crate::models::formats::load_into(&self.views(), dict, |name| Some(name.to_string()))?;
        if report.is_clean() {
            return Ok(());
        }
        Err(Error::Model(format!("the saved tensors are not this model's: {report}")))
    }
}

/// Makes the tensors of a model while its layers are built, each under the path where PyTorch would have it.
#[derive(Debug)]
pub struct Builder {
    store: RefCell<Store>,
    deterministic: bool,
    /// Every tensor is one number in the shape of many.
    skeleton: bool,
}

impl Builder {
    /// An empty builder; initial values are drawn from libtorch's generator (see [`tch::manual_seed`]).
    pub fn new(device: Device) -> Self {
        let store = RefCell::new(Store { entries: BTreeMap::new(), norms: BTreeMap::new(), device });
        Self { store, deterministic: false, skeleton: false }
    }

    /// The device that tensors are made on.
    pub fn device(&self) -> Device {
        self.store.borrow().device
    }

    /// For names and shapes alone: tensors take neither memory nor time, and none of their values means anything.
    pub fn skeleton() -> Self {
        Self { skeleton: true, ..Self::new(Device::Cpu) }
    }

    /// A network that draws nothing in training: no dropout, no stochastic depth. For comparisons.
    pub fn deterministic(self) -> Self {
        Self { deterministic: true, ..self }
    }

    /// The root of all paths.
    pub fn root(&self) -> Scope<'_> {
        Scope { builder: self, path: String::new() }
    }

    /// Takes in a tensor that something else made, under its dotted name.
    ///
    /// # Errors
    /// A name that is there already.
    pub fn adopt(&self, name: &str, tensor: Tensor, role: Role) -> Result<()> {
        let tensor = if role == Role::Parameter { tensor.set_requires_grad(true) } else { tensor };
        self.root().insert(name, tensor, role).map(drop)
    }

    /// The finished store; every parameter learns until [`Store::freeze`] says otherwise.
    pub fn finish(self) -> Store {
        self.store.into_inner()
    }
}

/// A path in a model that is being built, as `layer1.0.conv1`.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    builder: &'a Builder,
    path: String,
}

impl Scope<'_> {
    /// The path `self.name`.
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        let path = if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) };
        Self { builder: self.builder, path }
    }

    /// The dotted path, empty at the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A new parameter `self.name` of that shape.
    ///
    /// # Errors
    /// What libtorch refuses, as when memory runs out.
    pub fn parameter(&self, name: &str, shape: &[i64], init: Init) -> Result<Tensor> {
        let device = self.builder.store.borrow().device;
        let tensor = match self.builder.skeleton {
            true => Tensor::f_zeros([0i64; 0], (Kind::Float, device))?.f_expand(shape, false)?,
            false => init.tensor(shape)?.f_to_device(device)?,
        };
        self.insert(name, tensor.set_requires_grad(true), Role::Parameter)
    }

    /// A new buffer `self.name` with these values.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn buffer(&self, name: &str, shape: &[i64], value: f64, kind: Kind) -> Result<Tensor> {
        let device = self.builder.store.borrow().device;
        self.insert(name, Tensor::f_full(shape, value, (kind, device))?, Role::Buffer)
    }

    /// A new buffer `self.name` that is this tensor.
    ///
    /// # Errors
    /// A name that is there already.
    pub fn fixed(&self, name: &str, tensor: Tensor) -> Result<Tensor> {
        self.insert(name, tensor, Role::Buffer)
    }

    /// The rate at which a layer here drops: the one that is asked for, or 0 in a deterministic network.
    pub fn drop_rate(&self, rate: f64) -> f64 {
        if self.builder.deterministic { 0.0 } else { rate }
    }

    /// Enters this path as a batch-norm layer; the switch says whether its statistics are held.
    pub(crate) fn norm_layer(&self) -> Switch {
        let switch = Switch::default();
        self.builder.store.borrow_mut().norms.insert(self.path.clone(), switch.clone());
        switch
    }

    fn insert(&self, name: &str, tensor: Tensor, role: Role) -> Result<Tensor> {
        let handle = tensor.shallow_clone();
        let name = self.at(name).path;
        let previous = self.builder.store.borrow_mut().entries.insert(name.clone(), Entry { tensor, role });
        if previous.is_some() {
            return Err(Error::Model(format!("two tensors of the model are named {name}")));
        }
        Ok(handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A convolution and a batch norm.
    fn store() -> Result<Store> {
        let builder = Builder::new(Device::Cpu);
        let norm = builder.root().at("bn");
        let _weight = builder.root().at("conv").parameter("weight", &[2, 2], Init::Constant(1.0))?;
        let _scale = norm.parameter("weight", &[2], Init::Constant(1.0))?;
        let _mean = norm.buffer("running_mean", &[2], 0.0, Kind::Float)?;
        let _held = norm.norm_layer();
        Ok(builder.finish())
    }

    #[test]
    fn a_store_with_another_is_both() -> Result<()> {
        let (one, other) = (store()?, store()?.renamed(|name| Some(format!("other.{name}"))));
        let both = one.with(&other)?;
        assert_eq!(both.entries().count(), one.entries().count() + other.entries().count());
        both.freeze(&BTreeSet::from(["bn.weight".to_string()]), false)?;
        assert!(one.held_norms() == ["bn"] && other.held_norms().is_empty());
        assert!(one.with(&one).is_err());
        Ok(())
    }

    #[test]
    fn a_renamed_store_shares_its_values_and_keeps_its_norms() -> Result<()> {
        let original = store()?;
        let (views, held) = (original.views(), original.norms["bn"].clone());
        let mut both = original.renamed(|name| Some(format!("a.{name}")));
        both.absorb(store()?.renamed(|name| name.starts_with("bn.").then(|| format!("b.{name}"))))?;
        let names: Vec<_> = both.entries().map(|(name, _)| name).collect();
        let expected = ["a.bn.running_mean", "a.bn.weight", "a.conv.weight", "b.bn.running_mean", "b.bn.weight"];
        assert_eq!(names, expected);
        assert_eq!(both.norm_layers().collect::<Vec<_>>(), ["a.bn", "b.bn"]);
        both.freeze(&BTreeSet::from(["a.bn.weight".to_string()]), false)?;
        assert!(held.are_held() && both.held_norms() == ["a.bn"]);
        let _filled = tch::no_grad(|| both.get("a.conv.weight").unwrap().shallow_clone().fill_(3.0));
        assert_eq!(f64::try_from(views["conv.weight"].max())?, 3.0);
        let again = both.absorb(store()?.renamed(|name| Some(format!("b.{name}")))).unwrap_err().to_string();
        assert!(again.contains("b.bn.running_mean"), "{again}");
        Ok(())
    }
}
