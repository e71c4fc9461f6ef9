//! The Huffman codes of a JPEG scan, and how to step over what nobody wants to know.
//!
//! A block's high frequencies do not show in a smaller picture, and blocks outside the region not at all; but where the
//! next block begins, only their codes tell. So several codes at once are looked up for their length alone.

/// How many bits are looked up at once; longer codes are rare.
const WINDOW: u32 = 11;

/// The bits of a scan, its stuffing and markers already taken out.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits, the first one on top; those below `count` may be there already or not.
    next: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    /// How many bytes of padding the data must end with.
    pub(super) const PADDING: usize = 8;

    /// From byte `at` of the data on.
    pub(super) fn new(data: &'a [u8], at: usize) -> Self {
        Self { data, at, next: 0, count: 0 }
    }

    /// Where the next bit is, in bits from the beginning of the data.
    pub(super) fn position(&self) -> usize {
        self.at * 8 - self.count as usize
    }

    /// Makes at least 56 bits ready; behind the end they are those of the padding.
    #[inline(always)]
    fn refill(&mut self) {
        let at = self.at.min(self.data.len() - Self::PADDING);
        let word = self.data[at..at + 8].try_into().map_or(0, u64::from_be_bytes);
        self.next |= word >> self.count;
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    #[inline(always)]
    fn peek(&self, bits: u32) -> usize {
        (self.next >> (64 - bits)) as usize
    }

    #[inline(always)]
    fn skip(&mut self, bits: u32) {
        self.next <<= bits;
        self.count -= bits;
    }

    /// A number of `size` bits, 1 to 15, as JPEG writes numbers with a sign.
    #[inline(always)]
    fn signed(&mut self, size: u32) -> i32 {
        let value = self.peek(size) as i32;
        self.skip(size);
        if value < 1 << (size - 1) { value + 1 - (1 << size) } else { value }
    }
}

/// Several AC symbols that lie within one window.
#[derive(Clone, Copy, Default)]
struct Stride {
    /// Bits of all symbols with their numbers; 0 where not even one symbol fits.
    bits: u8,
    /// How many coefficients they stand for.
    coefficients: u8,
    /// How many those before the last symbol stand for.
    before_last: u8,
    /// Whether the last one ends the block.
    ends: bool,
}

/// One Huffman code.
pub(super) struct Table {
    /// By the next bits: the symbol, and the length of its code in the lower byte; 0 where the code is longer.
    short: Vec<u16>,
    /// For each length: where its codes end (as 16 bits), and the symbol's number less the code.
    long: [(usize, isize); 17],
    symbols: Vec<u8>,
    strides: Vec<Stride>,
}

impl Table {
    /// From the number of codes of each length from 1 to 16, and the symbols in the order of their codes.
    pub(super) fn new(counts: &[u8], symbols: &[u8]) -> Option<Self> {
        let mut table = Self {
            short: vec![0; 1 << WINDOW],
            long: [(0, 0); 17],
            symbols: symbols.to_vec(),
            strides: vec![Stride::default(); 1 << WINDOW],
        };
        let (mut code, mut number) = (0usize, 0usize);
        for length in 1..=16u32 {
            let count = usize::from(*counts.get(length as usize - 1)?);
            table.long[length as usize].1 = number as isize - code as isize;
            for _ in 0..count {
                let symbol = *symbols.get(number)?;
                if code >= 1 << length {
                    return None;
                }
                if length <= WINDOW {
                    let first = code << (WINDOW - length);
                    let entry = u16::from(symbol) << 8 | length as u16;
                    table.short[first..first + (1 << (WINDOW - length))].fill(entry);
                }
                (code, number) = (code + 1, number + 1);
            }
            table.long[length as usize].0 = code << (16 - length);
            code <<= 1;
        }
        for window in 0..1 << WINDOW {
            table.strides[window] = table.stride(window);
        }
        Some(table)
    }

    fn stride(&self, window: usize) -> Stride {
        let mut stride = Stride::default();
        loop {
            let entry = self.short[(window << stride.bits) & ((1 << WINDOW) - 1)];
            let (length, symbol) = (entry as u8, (entry >> 8) as u8);
            let (run, size) = (symbol >> 4, symbol & 15);
            let bits = stride.bits + length + size;
            let ends = size == 0 && run < 15;
            if length == 0 || u32::from(bits) > WINDOW || stride.coefficients >= 63 {
                return stride;
            }
            stride.before_last = stride.coefficients;
            stride.bits = bits;
            if ends {
                stride.ends = true;
                return stride;
            }
            stride.coefficients += run + 1;
        }
    }

    #[inline(always)]
    fn symbol(&self, bits: &mut Bits) -> Option<u8> {
        bits.refill();
        let entry = self.short[bits.peek(WINDOW)];
        if entry != 0 {
            bits.skip(u32::from(entry & 0xff));
            return Some((entry >> 8) as u8);
        }
        self.long_symbol(bits)
    }

    #[cold]
    fn long_symbol(&self, bits: &mut Bits) -> Option<u8> {
        let code = bits.peek(16);
        let length = (WINDOW as usize + 1..=16).find(|&length| code < self.long[length].0)?;
        bits.skip(length as u32);
        let number = (code >> (16 - length)) as isize + self.long[length].1;
        self.symbols.get(usize::try_from(number).ok()?).copied()
    }

    /// The difference to the block before.
    #[inline(always)]
    pub(super) fn difference(&self, bits: &mut Bits) -> Option<i32> {
        match self.symbol(bits)? {
            0 => Some(0),
            size @ 1..=15 => Some(bits.signed(size.into())),
            _ => None,
        }
    }

    /// Calls `found` with the place (1 to `last`, in zigzag order) and value of every coefficient that is not 0, and
    /// steps over those behind `last`.
    #[inline(always)]
    pub(super) fn coefficients(&self, bits: &mut Bits, last: usize, mut found: impl FnMut(usize, i32)) -> Option<()> {
        let mut place = 0;
        while place < last {
            let symbol = self.symbol(bits)?;
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 {
                if run < 15 {
                    return Some(());
                }
                place += 16;
                continue;
            }
            place += run + 1;
            let value = bits.signed(size);
            if place <= last {
                found(place, value);
            }
        }
        self.step_over(bits, place)
    }

    /// Steps over the coefficients behind `place`.
    #[inline(always)]
    fn step_over(&self, bits: &mut Bits, mut place: usize) -> Option<()> {
        while place < 63 {
            bits.refill();
            let stride = self.strides[bits.peek(WINDOW)];
            if stride.bits > 0 && place + usize::from(stride.before_last) < 63 {
                bits.skip(stride.bits.into());
                if stride.ends {
                    return Some(());
                }
                place += usize::from(stride.coefficients);
                continue;
            }
            let symbol = self.symbol(bits)?;
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 && run < 15 {
                return Some(());
            }
            bits.skip(size);
            place += run + 1;
        }
        (place == 63).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes 0 (end of block), 10 (one coefficient of one bit), 110 (15 zeros and no value), 1110 (a run of 2, then three bits).
    fn table() -> Table {
        Table::new(&[1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0x00, 0x01, 0xf0, 0x23]).unwrap()
    }

    /// Text of zeros and ones as padded bytes.
    fn bytes(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|digit| *digit != b' ').map(|digit| digit - b'0').collect();
        let byte = |bits: &[u8]| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | bit << (7 - at));
        digits.chunks(8).map(byte).chain([0; Bits::PADDING]).collect()
    }

    #[test]
    fn coefficients_come_with_place_and_sign_and_the_rest_is_stepped_over() {
        // +1, two zeros and -7, sixteen zeros, -1, the end; then the start of the next block
        let data = bytes("10 1  1110 000  110  10 0  0  1111");
        for last in [0, 1, 3, 4, 5, 20, 21, 63] {
            let (mut bits, mut found) = (Bits::new(&data, 0), vec![]);
            table().coefficients(&mut bits, last, |place, value| found.push((place, value))).unwrap();
            let all = [(1, 1), (4, -7), (21, -1)];
            assert_eq!(found, all.into_iter().filter(|(place, _)| *place <= last).collect::<Vec<_>>());
            assert_eq!(bits.position(), 17, "last {last}");
        }
    }

    #[test]
    fn a_full_block_ends_without_a_code_for_its_end() {
        let data = bytes(&"10 1 ".repeat(63 + 4));
        for last in [0, 1, 61, 62, 63] {
            let mut bits = Bits::new(&data, 0);
            table().coefficients(&mut bits, last, |_, _| ()).unwrap();
            assert_eq!(bits.position(), 63 * 3);
        }
    }

    #[test]
    fn long_codes_are_found_and_impossible_ones_refused() {
        let mut counts = [0; 16];
        counts[15] = 2;
        let table = Table::new(&counts, &[3, 2]).unwrap();
        let data = bytes("0000000000000001 01  0000000000000000 111  1000000000000000");
        let mut bits = Bits::new(&data, 0);
        assert_eq!(table.difference(&mut bits), Some(-2));
        assert_eq!(table.difference(&mut bits), Some(7));
        assert_eq!(table.difference(&mut bits), None);
        assert!(Table::new(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[1, 2, 3]).is_none());
        assert!(Table::new(&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[1]).is_none());
    }
}
