//! Elements: a tag that says type and size, and the numbers behind it.

use super::array::Values;
use super::input::Input;
use super::{MAX_BYTES, Parse};

/// The types of elements that hold others.
pub(super) const MATRIX: u32 = 14;
pub(super) const COMPRESSED: u32 = 15;

/// Type and size of an element. Up to four bytes of it can stand in the tag itself.
pub(super) struct Tag {
    pub(super) kind: u32,
    pub(super) size: u64,
    small: Option<[u8; 4]>,
}

impl Tag {
    pub(super) fn of(bytes: [u8; 8], big_endian: bool) -> Self {
        let [a, b, c, d, rest @ ..] = bytes;
        let word = |bytes| if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        let first = word([a, b, c, d]);
        match first >> 16 {
            0 => Self { kind: first, size: word(rest).into(), small: None },
            size => Self { kind: first & 0xffff, size: size.into(), small: Some(rest) },
        }
    }
}

/// The type and the bytes of the next element, which is none that holds others.
pub(super) fn next(input: &mut Input) -> Parse<(u32, Vec<u8>)> {
    let Tag { kind, size, small } = input.tag()?;
    if let Some(bytes) = small {
        let bytes = bytes.get(..size as usize).ok_or_else(|| format!("is damaged: {size} bytes in a tag of 4"))?;
        return Ok((kind, bytes.to_vec()));
    }
    let bytes = input.bytes(size)?;
    // the next one begins on a word of 8 bytes
    input.skip(size.next_multiple_of(8) - size)?;
    Ok((kind, bytes))
}

/// A number of any type, on its way to another.
enum Number {
    Whole(i128),
    Float(f64),
}

/// A type of numbers, as class of an array and as type of an element.
trait Element: Sized + Copy {
    /// Its number as the type of an element.
    const KIND: u32;
    /// The bytes that a number has.
    const SIZE: usize;
    fn decode(bytes: &[u8], big_endian: bool) -> Self;
    fn of(number: Number) -> Option<Self>;
    fn number(self) -> Number;
}

macro_rules! element {
    ($($type:ty, $kind:literal, $number:ident, $of:expr;)+) => {$(
        impl Element for $type {
            const KIND: u32 = $kind;
            const SIZE: usize = size_of::<$type>();

            fn decode(bytes: &[u8], big_endian: bool) -> Self {
                let bytes = std::array::from_fn(|index| bytes[index]);
                if big_endian { Self::from_be_bytes(bytes) } else { Self::from_le_bytes(bytes) }
            }

            fn of(number: Number) -> Option<Self> {
                $of(number)
            }

            fn number(self) -> Number {
                Number::$number(self.into())
            }
        }
    )+};
}

element! {
    i8, 1, Whole, whole;
    u8, 2, Whole, whole;
    i16, 3, Whole, whole;
    u16, 4, Whole, whole;
    i32, 5, Whole, whole;
    u32, 6, Whole, whole;
    f32, 7, Float, |number| Some(float(number) as f32);
    f64, 9, Float, |number| Some(float(number));
    i64, 12, Whole, whole;
    u64, 13, Whole, whole;
}

/// Whole numbers stay exactly what they are, or there are none.
fn whole<T: TryFrom<i128>>(number: Number) -> Option<T> {
    match number {
        Number::Whole(value) => T::try_from(value).ok(),
        Number::Float(_) => None,
    }
}

fn float(number: Number) -> f64 {
    match number {
        Number::Whole(value) => value as f64,
        Number::Float(value) => value,
    }
}

/// The numbers in `bytes`, an element of type `kind`, as numbers of the class `T`.
fn numbers<T: Element>(kind: u32, bytes: &[u8], big_endian: bool) -> Parse<Vec<T>> {
    fn each<S: Element, T: Element>(bytes: &[u8], big_endian: bool) -> Parse<Vec<T>> {
        if !bytes.len().is_multiple_of(S::SIZE) {
            return Err(format!("is damaged: {} bytes are no numbers of {} bytes each", bytes.len(), S::SIZE));
        }
        let stored = bytes.chunks_exact(S::SIZE).map(|bytes| S::decode(bytes, big_endian));
        let widened = stored.map(|number| T::of(number.number()));
        widened.collect::<Option<Vec<T>>>().ok_or_else(|| "is damaged: a number does not fit its class".into())
    }
    // what would ask for more memory than any array that is read may take
    if (bytes.len() as u64).saturating_mul(T::SIZE as u64) > MAX_BYTES * 2 {
        return Err(format!("has more numbers than the {MAX_BYTES} bytes that are read hold"));
    }
    match kind {
        1 => each::<i8, T>(bytes, big_endian),
        2 => each::<u8, T>(bytes, big_endian),
        3 => each::<i16, T>(bytes, big_endian),
        4 => each::<u16, T>(bytes, big_endian),
        5 => each::<i32, T>(bytes, big_endian),
        6 => each::<u32, T>(bytes, big_endian),
        7 => each::<f32, T>(bytes, big_endian),
        9 => each::<f64, T>(bytes, big_endian),
        12 => each::<i64, T>(bytes, big_endian),
        13 => each::<u64, T>(bytes, big_endian),
        _ => Err(format!("is damaged: its numbers are of type {kind}")),
    }
}

/// The next element as numbers of the `class` of an array, 6 for `double` to 15 for `uint64`.
pub(super) fn values(input: &mut Input, class: u8) -> Parse<Values> {
    let big_endian = input.big_endian;
    let (kind, bytes) = next(input)?;
    Ok(match class {
        6 => Values::F64(numbers(kind, &bytes, big_endian)?),
        7 => Values::F32(numbers(kind, &bytes, big_endian)?),
        8 => Values::I8(numbers(kind, &bytes, big_endian)?),
        // images, which are large, are not copied
        9 if kind == u8::KIND => Values::U8(bytes),
        9 => Values::U8(numbers(kind, &bytes, big_endian)?),
        10 => Values::I16(numbers(kind, &bytes, big_endian)?),
        11 => Values::U16(numbers(kind, &bytes, big_endian)?),
        12 => Values::I32(numbers(kind, &bytes, big_endian)?),
        13 => Values::U32(numbers(kind, &bytes, big_endian)?),
        14 => Values::I64(numbers(kind, &bytes, big_endian)?),
        _ => Values::U64(numbers(kind, &bytes, big_endian)?),
    })
}

/// The next element as text.
pub(super) fn text(input: &mut Input) -> Parse<String> {
    let big_endian = input.big_endian;
    let (kind, bytes) = next(input)?;
    let damaged = || "is damaged: its text is none".to_string();
    match kind {
        1 | 2 | 16 => String::from_utf8(bytes).map_err(|_| damaged()),
        // older versions store the numbers of characters
        4 | 17 => String::from_utf16(&numbers::<u16>(u16::KIND, &bytes, big_endian)?).map_err(|_| damaged()),
        18 => numbers::<u32>(u32::KIND, &bytes, big_endian)?
            .into_iter()
            .map(char::from_u32)
            .collect::<Option<_>>()
            .ok_or_else(damaged),
        _ => Err(format!("is damaged: its text is of type {kind}")),
    }
}

/// The next element as whole numbers of 32 bits, as flags and dimensions are.
pub(super) fn words(input: &mut Input) -> Parse<Vec<u32>> {
    let big_endian = input.big_endian;
    let (kind, bytes) = next(input)?;
    numbers(kind, &bytes, big_endian)
}
