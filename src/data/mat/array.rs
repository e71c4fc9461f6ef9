//! What a variable holds.

/// An array with dimensions; its first one runs fastest ("column major"), unlike in a tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct MatArray {
    pub(super) dims: Vec<usize>,
    pub(super) values: Values,
}

/// The elements of an array, by its class.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Values {
    F64(Vec<f64>),
    F32(Vec<f32>),
    I8(Vec<i8>),
    U8(Vec<u8>),
    I16(Vec<i16>),
    U16(Vec<u16>),
    I32(Vec<i32>),
    U32(Vec<u32>),
    I64(Vec<i64>),
    U64(Vec<u64>),
    Text(String),
    Cells(Vec<MatArray>),
}

/// Does the same with the numbers of an array, whatever their class.
macro_rules! with_numbers {
    ($values:expr, $numbers:ident => $body:expr) => {
        match $values {
            Values::F64($numbers) => Some($body),
            Values::F32($numbers) => Some($body),
            Values::I8($numbers) => Some($body),
            Values::U8($numbers) => Some($body),
            Values::I16($numbers) => Some($body),
            Values::U16($numbers) => Some($body),
            Values::I32($numbers) => Some($body),
            Values::U32($numbers) => Some($body),
            Values::I64($numbers) => Some($body),
            Values::U64($numbers) => Some($body),
            Values::Text(_) | Values::Cells(_) => None,
        }
    };
}

impl MatArray {
    /// The dimensions, two or more.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The elements, those of the first column first.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// The elements, to keep.
    pub fn into_values(self) -> Values {
        self.values
    }

    /// The numbers as f64; whole ones beyond 2⁵³ are rounded. None of a text or of cells.
    #[allow(clippy::unnecessary_cast)] // of f64, one of many classes
    pub fn to_f64(&self) -> Option<Vec<f64>> {
        with_numbers!(&self.values, numbers => numbers.iter().map(|&number| number as f64).collect())
    }

    /// The numbers, if all of them are whole and not negative, as labels and positions are.
    pub fn to_whole(&self) -> Option<Vec<usize>> {
        const LARGEST: f64 = (1u64 << 53) as f64;
        let numbers = self.to_f64()?;
        let whole =
            |number: f64| (number >= 0.0 && number.fract() == 0.0 && number <= LARGEST).then_some(number as usize);
        numbers.into_iter().map(whole).collect()
    }

    /// The text, if it is one of a single line.
    pub fn as_text(&self) -> Option<&str> {
        match &self.values {
            Values::Text(text) if self.dims.first().is_none_or(|&rows| rows <= 1) => Some(text),
            _ => None,
        }
    }

    /// The cells, if it has some.
    pub fn as_cells(&self) -> Option<&[MatArray]> {
        match &self.values {
            Values::Cells(cells) => Some(cells),
            _ => None,
        }
    }

    /// Class and dimensions for messages, as in `double [32 x 3]`.
    pub fn describe(&self) -> String {
        let class = match self.values {
            Values::F64(_) => "double",
            Values::F32(_) => "single",
            Values::I8(_) => "int8",
            Values::U8(_) => "uint8",
            Values::I16(_) => "int16",
            Values::U16(_) => "uint16",
            Values::I32(_) => "int32",
            Values::U32(_) => "uint32",
            Values::I64(_) => "int64",
            Values::U64(_) => "uint64",
            Values::Text(_) => "char",
            Values::Cells(_) => "cell",
        };
        let dims: Vec<String> = self.dims.iter().map(usize::to_string).collect();
        format!("{class} [{}]", dims.join(" x "))
    }

    /// How many elements there are; of a text, how many characters.
    pub(super) fn len(&self) -> usize {
        match &self.values {
            Values::Text(text) => text.chars().count(),
            Values::Cells(cells) => cells.len(),
            numbers => with_numbers!(numbers, numbers => numbers.len()).unwrap_or(0),
        }
    }
}
