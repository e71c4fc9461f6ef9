//! What the segments of a JPEG file say, as far as decoding it at a smaller size needs it.

use super::huffman::Table;

/// A file that can be decoded at a smaller size.
pub(super) struct Header<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Grey, or brightness and two colours.
    pub(super) components: Vec<Component>,
    /// For means and for all other frequencies.
    pub(super) huffman: [[Option<Table>; 4]; 2],
    /// After how many units prediction begins anew; 0 for never.
    pub(super) restart: usize,
    /// From the first byte of the scan to the end of the file.
    pub(super) scan: &'a [u8],
}

/// Brightness, or one of the two colours.
pub(super) struct Component {
    /// Blocks across in a unit.
    pub(super) across: usize,
    /// Blocks down in a unit.
    pub(super) down: usize,
    /// In zigzag order.
    pub(super) quantisation: [f32; 64],
    /// Which Huffman code the means have.
    pub(super) dc: usize,
    /// Which one all other frequencies have.
    pub(super) ac: usize,
}

#[derive(Default)]
struct Segments {
    size: Option<(usize, usize)>,
    /// Identifier, blocks across and down, number of the quantisation table.
    frame: Vec<(u8, usize, usize, usize)>,
    quantisation: [Option<[f32; 64]>; 4],
    huffman: [[Option<Table>; 4]; 2],
    restart: usize,
}

impl<'a> Header<'a> {
    /// Reads up to the first scan; `None` for what is not the usual: one scan of 8-bit grey or YCbCr, Huffman-coded.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut segments = Segments::default();
        let mut at = 2;
        loop {
            while bytes.get(at..at + 2)? == [0xff, 0xff] {
                at += 1;
            }
            let &[0xff, marker] = bytes.get(at..at + 2)? else { return None };
            let length = usize::from(u16::from_be_bytes(bytes.get(at + 2..at + 4)?.try_into().ok()?));
            let segment = bytes.get(at + 4..at + 2 + length)?;
            at += 2 + length;
            match marker {
                0xc0 | 0xc1 => segments.frame(segment)?,
                0xc4 => segments.huffman(segment)?,
                0xdb => segments.quantisation(segment)?,
                0xdd => segments.restart = usize::from(u16::from_be_bytes(segment.try_into().ok()?)),
                0xda => return segments.scan(segment, bytes.get(at..)?),
                // Adobe's mark on pixels that are not YCbCr
                0xee if segment.starts_with(b"Adobe") && segment.get(11) == Some(&0) => return None,
                0xe0..=0xef | 0xfe => {}
                _ => return None,
            }
        }
    }
}

impl Segments {
    fn frame(&mut self, segment: &[u8]) -> Option<()> {
        let &[8, h0, h1, w0, w1, count, ref components @ ..] = segment else { return None };
        if self.size.is_some() || !matches!(count, 1 | 3) || components.len() != usize::from(count) * 3 {
            return None;
        }
        let number = |high, low| usize::from(u16::from_be_bytes([high, low]));
        self.size = Some((number(w0, w1), number(h0, h1)));
        for component in components.chunks_exact(3) {
            let (across, down) = (usize::from(component[1] >> 4), usize::from(component[1] & 15));
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) {
                return None;
            }
            self.frame.push((component[0], across, down, usize::from(component[2])));
        }
        let rgb = self.frame.iter().map(|component| component.0).eq(*b"RGB");
        (!rgb && number(w0, w1) > 0 && number(h0, h1) > 0).then_some(())
    }

    fn huffman(&mut self, mut segment: &[u8]) -> Option<()> {
        while let [about, rest @ ..] = segment {
            let counts = rest.get(..16)?;
            let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let table = Table::new(counts, rest.get(16..16 + total)?)?;
            let place = self.huffman.get_mut(usize::from(about >> 4))?.get_mut(usize::from(about & 15))?;
            *place = Some(table);
            segment = &rest[16 + total..];
        }
        Some(())
    }

    fn quantisation(&mut self, mut segment: &[u8]) -> Option<()> {
        while let [about, rest @ ..] = segment {
            let wide = usize::from(about >> 4);
            let values = rest.get(..64 << wide.min(1))?;
            let mut table = [0.0; 64];
            for (place, value) in table.iter_mut().enumerate() {
                *value = match wide {
                    0 => values[place].into(),
                    _ => u16::from_be_bytes([values[place * 2], values[place * 2 + 1]]).into(),
                };
            }
            *self.quantisation.get_mut(usize::from(about & 15))? = Some(table);
            segment = &rest[values.len()..];
        }
        Some(())
    }

    fn scan<'a>(self, segment: &[u8], scan: &'a [u8]) -> Option<Header<'a>> {
        let (width, height) = self.size?;
        let (count, chosen) = segment.split_first()?;
        if usize::from(*count) != self.frame.len() || chosen.len() != self.frame.len() * 2 + 3 {
            return None;
        }
        // A single component comes block by block, whatever its sampling.
        let alone = self.frame.len() == 1;
        let component = |(frame, chosen): (&(u8, usize, usize, usize), &[u8])| {
            let &(id, across, down, quantisation) = frame;
            let (across, down) = if alone { (1, 1) } else { (across, down) };
            let quantisation = (*self.quantisation.get(quantisation)?)?;
            let (dc, ac) = (usize::from(chosen[1] >> 4), usize::from(chosen[1] & 15));
            (chosen[0] == id).then_some(Component { across, down, quantisation, dc, ac })
        };
        let components = self.frame.iter().zip(chosen.chunks_exact(2)).map(component).collect::<Option<_>>()?;
        Some(Header { width, height, components, huffman: self.huffman, restart: self.restart, scan })
    }
}
