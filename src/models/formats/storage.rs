//! From a storage in a file to tensors: each storage is read once, and every view of it is checked against its end.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::budget::Budget;
use super::pickle::{Parse, Storage, View, quote};

/// The tensors that are wanted from one file, by the storage that holds them.
pub(super) struct Wanted<'a> {
    by_storage: BTreeMap<usize, Vec<(&'a str, &'a View)>>,
}

impl<'a> Wanted<'a> {
    /// Sorts `tensors` by their storages.
    pub fn new(tensors: &'a BTreeMap<String, View>) -> Self {
        let mut by_storage: BTreeMap<usize, Vec<(&str, &View)>> = BTreeMap::new();
        for (name, view) in tensors {
            by_storage.entry(view.storage).or_default().push((name, view));
        }
        Self { by_storage }
    }

    /// The storages that hold something wanted, in the order of the pickle.
    pub fn storages(&self) -> impl Iterator<Item = usize> + '_ {
        self.by_storage.keys().copied()
    }

    /// Whether anything wanted lies in `storage`.
    pub fn contains(&self, storage: usize) -> bool {
        self.by_storage.contains_key(&storage)
    }

    /// Reads `storage` through `read`, which is told the shape and the type to read, and adds the tensors that lie in it
    /// to `out`: all views of one memory, with the strides that they have in the file, as in PyTorch.
    pub fn build(
        &self,
        storage: usize,
        storages: &[Storage],
        budget: &mut Budget,
        out: &mut BTreeMap<String, Tensor>,
        read: impl FnOnce(&[i64], Kind) -> Parse<Tensor>,
    ) -> Parse<()> {
        let described = &storages[storage];
        let views = self.by_storage.get(&storage).map(Vec::as_slice).unwrap_or_default();
        for (name, view) in views {
            check(described, view).map_err(|reason| format!("tensor {}: {reason}", quote(name)))?;
        }
        budget.take(described.bytes()?)?;
        let memory = memory(described, budget, read)?;
        for &(name, view) in views {
            let tensor = take(&memory, described, view, budget);
            out.insert(name.to_string(), tensor.map_err(|reason| format!("tensor {}: {reason}", quote(name)))?);
        }
        Ok(())
    }
}

/// Fails unless every element of `view` lies in `storage`.
fn check(storage: &Storage, view: &View) -> Parse<()> {
    let fault = || {
        format!(
            "has size {:?}, strides {:?} and offset {}, which does not fit into the {} elements of storage {}: the file is damaged",
            view.size,
            view.stride,
            view.offset,
            storage.elements,
            quote(&storage.key)
        )
    };
    if view.offset < 0 || view.size.iter().chain(&view.stride).any(|&number| number < 0) {
        return Err(fault());
    }
    let mut last = view.offset;
    for (&size, &stride) in view.size.iter().zip(&view.stride) {
        last = (size - 1).max(0).checked_mul(stride).and_then(|step| last.checked_add(step)).ok_or_else(fault)?;
    }
    // also of an empty tensor: libtorch multiplies its other dimensions
    let count = view.size.iter().try_fold(1i64, |count, &size| count.checked_mul(size.max(1))).ok_or_else(fault)?;
    count.checked_mul(view.kind.elt_size_in_bytes() as i64).ok_or_else(fault)?;
    let elements = storage.bytes()? / view.kind.elt_size_in_bytes() as u64;
    let empty = view.size.contains(&0);
    if !empty && last as u64 >= elements { Err(fault()) } else { Ok(()) }
}

/// The whole of `storage` as a tensor of one dimension.
fn memory(storage: &Storage, budget: &mut Budget, read: impl FnOnce(&[i64], Kind) -> Parse<Tensor>) -> Parse<Tensor> {
    let elements = i64::try_from(storage.elements).map_err(|_| "claims an impossible size")?;
    typed(&[elements], storage.kind, budget, read)
}

/// What `read` makes of a shape and a type; for bools it reads bytes, which are made 0 and 1 here.
pub(super) fn typed(
    shape: &[i64],
    kind: Kind,
    budget: &mut Budget,
    read: impl FnOnce(&[i64], Kind) -> Parse<Tensor>,
) -> Parse<Tensor> {
    if kind != Kind::Bool {
        return read(shape, kind);
    }
    // a byte other than 0 and 1 is no bool to libtorch's kernels
    let bytes = read(shape, Kind::Uint8)?;
    budget.take(bytes.numel() as u64)?;
    bytes.f_ne(0).map_err(torch)
}

fn take(memory: &Tensor, storage: &Storage, view: &View, budget: &mut Budget) -> Parse<Tensor> {
    if view.size.contains(&0) {
        return Tensor::f_zeros(&view.size, (view.kind, tch::Device::Cpu)).map_err(torch);
    }
    let typed = match view.kind == storage.kind {
        true => memory.shallow_clone(),
        false => {
            let item = view.kind.elt_size_in_bytes() as i64;
            let whole = memory.f_narrow(0, 0, memory.numel() as i64 / item * item).map_err(torch)?;
            whole.f_view_dtype(view.kind).map_err(torch)?
        }
    };
    let tensor = typed.f_as_strided(&view.size, &view.stride, view.offset).map_err(torch)?;
    // a view that overlaps itself costs nothing here, but whoever copies it pays for every element
    if !tensor.is_contiguous() {
        budget.take((tensor.numel() * view.kind.elt_size_in_bytes()) as u64)?;
    }
    Ok(tensor)
}

/// libtorch's message.
pub(super) fn torch(error: tch::TchError) -> String {
    crate::Error::from(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(offset: i64, size: &[i64], stride: &[i64]) -> View {
        View { storage: 0, kind: Kind::Int16, offset, size: size.to_vec(), stride: stride.to_vec() }
    }

    fn build(views: &[View], file: u64) -> Parse<BTreeMap<String, Tensor>> {
        let storages = [Storage { key: "0".into(), kind: Kind::Int16, elements: 6 }];
        let tensors = views.iter().enumerate().map(|(index, view)| (index.to_string(), view.clone())).collect();
        let mut out = BTreeMap::new();
        Wanted::new(&tensors).build(0, &storages, &mut Budget::of(file), &mut out, |size, kind| {
            Ok(Tensor::arange(size[0], (kind, tch::Device::Cpu)))
        })?;
        Ok(out)
    }

    #[test]
    fn views_read_through_their_strides() {
        let built = build(&[view(0, &[2, 3], &[3, 1]), view(0, &[3, 2], &[1, 3]), view(4, &[], &[])], 0);
        let built = built.unwrap();
        assert_eq!(Vec::<i64>::try_from(built["0"].flatten(0, -1)).unwrap(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(built["1"].stride(), [1, 3]);
        assert_eq!(i64::try_from(&built["2"]).unwrap(), 4);
        assert_eq!(Vec::<i64>::try_from(built["1"].flatten(0, -1)).unwrap(), [0, 3, 1, 4, 2, 5]);
    }

    #[test]
    fn views_beyond_the_storage_and_overflows_are_refused() {
        let max = i64::MAX;
        for bad in [
            view(0, &[7], &[1]),
            view(6, &[1], &[1]),
            view(-1, &[1], &[1]),
            view(0, &[2, 2], &[5, 1]),
            view(0, &[2], &[-1]),
            view(max, &[2], &[max]),
            view(0, &[max, max], &[0, 0]),
            view(0, &[0, max, max], &[1, 1, 1]),
        ] {
            assert!(build(std::slice::from_ref(&bad), 0).unwrap_err().contains("does not fit"), "{bad:?}");
        }
    }

    #[test]
    fn an_expanded_view_cannot_eat_the_memory() {
        assert_eq!(build(&[view(0, &[1000], &[0])], 0).unwrap()["0"].numel(), 1000);
        assert!(build(&[view(0, &[1 << 40], &[0])], 0).unwrap_err().contains("bomb"));
    }
}
