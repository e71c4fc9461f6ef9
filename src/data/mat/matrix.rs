//! Arrays: flags, dimensions, name, and then what the class asks for.

use super::Parse;
use super::array::{MatArray, Values};
use super::element::{MATRIX, next, text, values, words};
use super::input::Input;

/// How deep cells may lie in cells.
const DEEPEST: usize = 8;
/// The most dimensions.
const MAX_DIMS: usize = 32;
/// The most cells: each takes some room in memory even if it is empty.
const MAX_CELLS: usize = 1 << 22;

const CELL: u8 = 1;
const CHAR: u8 = 4;
const COMPLEX: u32 = 0x800;

/// What stands before the elements of an array.
pub(super) struct Head {
    class: u8,
    complex: bool,
    dims: Vec<usize>,
    pub(super) name: String,
}

impl Head {
    pub(super) fn read(input: &mut Input) -> Parse<Self> {
        let flags = words(input)?.first().copied().ok_or("is damaged: it has no flags")?;
        let class = flags as u8;
        // of objects, the layout from here on is their own
        if matches!(class, 16..) {
            return Ok(Self { class, complex: false, dims: vec![], name: String::new() });
        }
        let dims: Vec<usize> = words(input)?.into_iter().map(|dim| dim as usize).collect();
        if !(2..=MAX_DIMS).contains(&dims.len()) || dims.iter().any(|&dim| dim > i32::MAX as usize) {
            return Err(format!("is damaged: its dimensions are {dims:?}"));
        }
        let (_, name) = next(input)?;
        // names are letters, digits and underscores; a byte that is none shows in messages
        let name = String::from_utf8_lossy(&name).replace(char::is_control, "\u{fffd}");
        Ok(Self { class, complex: flags & COMPLEX != 0, dims, name })
    }

    /// How many elements the dimensions come to.
    fn count(&self) -> Parse<usize> {
        let count = self.dims.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
        count.ok_or_else(|| format!("is damaged: its dimensions are {:?}", self.dims))
    }
}

/// Reads the array that fills `input`, `depth` cells deep.
pub(super) fn array(input: &mut Input, depth: usize) -> Parse<MatArray> {
    if input.left() == 0 {
        return Ok(MatArray { dims: vec![0, 0], values: Values::F64(vec![]) });
    }
    let head = Head::read(input)?;
    if head.complex {
        return Err("has complex numbers, which are not read".into());
    }
    let count = head.count()?;
    let values = match head.class {
        CELL => Values::Cells(cells(input, count, depth)?),
        CHAR => Values::Text(text(input)?),
        6..=15 => values(input, head.class)?,
        2 => return Err("is a struct; arrays of numbers, texts and cells are read".into()),
        5 => return Err("is a sparse array; save full(…) of it".into()),
        3 | 16.. => return Err("is an object; arrays of numbers, texts and cells are read".into()),
        other => return Err(format!("is damaged: class {other} is none")),
    };
    let array = MatArray { dims: head.dims, values };
    // characters beyond 16 bits count twice in the dimensions of a text
    if array.len() != count && head.class != CHAR {
        return Err(format!("is damaged: {} has {} elements", array.describe(), array.len()));
    }
    Ok(array)
}

fn cells(input: &mut Input, count: usize, depth: usize) -> Parse<Vec<MatArray>> {
    if depth == DEEPEST {
        return Err(format!("has cells more than {DEEPEST} deep"));
    }
    if count > MAX_CELLS || count as u64 > input.left() / 8 {
        return Err(format!("is damaged: it claims {count} cells in {} bytes", input.left()));
    }
    let mut cells = vec![];
    for index in 0..count {
        let tag = input.tag()?;
        if tag.kind != MATRIX {
            return Err(format!("is damaged: cell {index} is of type {}; expected {MATRIX}", tag.kind));
        }
        let cell = input.within(tag.size, |input| array(input, depth + 1));
        cells.push(cell.map_err(|reason| format!("in cell {index}: {reason}"))?);
    }
    Ok(cells)
}
