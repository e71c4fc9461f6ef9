//! Decoding a region of a JPEG file at a half, a quarter or an eighth of its size.
//!
//! A block of 8 × 8 pixels is stored as frequencies, so n × n pixels for n < 8 come from its n × n lowest ones alone:
//! f(x, y) = Σᵤ Σᵥ b(u, x) b(v, y) F(u, v) with b(u, x) = a(u) c(u) cos((2x + 1) u π / 2n), c(0) = 1/√8, c(u) = 1/2. The
//! factor a(u) = sin(m θ) / (m sin θ), m = 8/n, θ = u π / 16, makes each of them the mean over the m pixels that it
//! stands for, as a filter that shrinks would, and not the sample in the middle. A colour of half the resolution gives
//! 2n × 2n pixels per block, so nothing is scaled up.
//!
//! Frequencies that are not needed, and blocks outside the region, are stepped over; below the region decoding stops.
//! What is unusual (progressive, CMYK, 12 bits, several scans) or damaged is left to the ordinary decoder.
//!
//! Milliseconds for a photograph of 12 megapixels and 1.6 MB (4:2:0) on one core, least and most of three medians of seven;
//! zune-jpeg is the ordinary decoder, libjpeg-turbo is called through Pillow:
//!
//! | size | zune-jpeg | libjpeg-turbo | here, all of it | here, 64 % of it |
//! |---|---|---|---|---|
//! | 1/1 | 56–69 | 115–120 | | |
//! | 1/2 | | 27–33 | 54–73 | 30–41 |
//! | 1/4 | | 24–26 | 21–29 | 17–22 |
//! | 1/8 | | 18–22 | 14–18 | 11–15 |
//!
//! So a half pays by what lies outside of the region alone. Crates that decode smaller were slower (jpeg-decoder), or need an
//! assembler to be fast (those of libjpeg-turbo).

use image::RgbImage;

use super::header::{Component, Header};
use super::huffman::{Bits, Table};
use crate::data::Region;

/// Which frequency comes when: eight times the one down, plus the one across.
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Pixels of size 1/`shrink` (2, 4 or 8) that `region` of the picture in `bytes` touches, the region's first one from
/// `region.left / shrink` and `region.top / shrink` on, rounded down; `None` where the ordinary decoder has to do it.
///
/// `size` is the picture's width and height as the ordinary decoder sees them.
pub(in crate::data) fn decode(bytes: &[u8], size: (u32, u32), region: Region, shrink: u32) -> Option<RgbImage> {
    let header = Header::read(bytes)?;
    if (header.width, header.height) != (size.0 as usize, size.1 as usize) {
        return None;
    }
    let most = |of: fn(&Component) -> usize| header.components.iter().map(of).max();
    let (across, down) = (most(|component| component.across)?, most(|component| component.down)?);
    let units = header.width.div_ceil(across * 8);
    let block = 8 / shrink as usize;
    let (unit_width, unit_height) = (across * block, down * block);
    let span = |start: u32, length: u32| (start / shrink) as usize..(start + length).div_ceil(shrink) as usize;
    let (across_pixels, down_pixels) = (span(region.left, region.width), span(region.top, region.height));
    let columns = across_pixels.start / unit_width..across_pixels.end.div_ceil(unit_width);
    let rows = down_pixels.start / unit_height..down_pixels.end.div_ceil(unit_height);
    let stride = columns.len() * unit_width;
    let plane = |component| Plane::new(component, &header, (unit_width, unit_height), stride, rows.len() * unit_height);
    let mut planes: Vec<Plane> = header.components.iter().map(plane).collect::<Option<_>>()?;

    let (data, starts) = without_markers(header.scan);
    let mut starts = starts.into_iter();
    let mut bits = Bits::new(&data, starts.next()?);
    let mut until_restart = header.restart;
    for row in 0..rows.end {
        for column in 0..units {
            if header.restart > 0 && until_restart == 0 {
                let start = starts.next()?;
                if bits.position() > start * 8 {
                    return None;
                }
                bits = Bits::new(&data, start);
                planes.iter_mut().for_each(|plane| plane.mean = 0);
                until_restart = header.restart;
            }
            until_restart = until_restart.wrapping_sub(1);
            let wanted = rows.contains(&row) && columns.contains(&column);
            let place = wanted.then(|| (column - columns.start, row - rows.start));
            planes.iter_mut().try_for_each(|plane| plane.unit(&mut bits, place))?;
        }
    }
    if bits.position() > (data.len() - Bits::PADDING) * 8 {
        return None;
    }
    let mut pixels = Vec::with_capacity(across_pixels.len() * down_pixels.len() * 3);
    for y in down_pixels.clone() {
        let first = (y - rows.start * unit_height) * stride + across_pixels.start - columns.start * unit_width;
        write_row(&planes, first..first + across_pixels.len(), &mut pixels);
    }
    RgbImage::from_raw(across_pixels.len() as u32, down_pixels.len() as u32, pixels)
}

/// The pixels of one component, as many as the others have.
struct Plane<'a> {
    component: &'a Component,
    dc: &'a Table,
    ac: &'a Table,
    /// The pixels that a block becomes.
    width: usize,
    height: usize,
    basis: [[[f32; 8]; 8]; 2],
    /// The last frequency that is needed, in zigzag order.
    last: usize,
    stride: usize,
    pixels: Vec<u8>,
    /// The last block's, from which the next one's is told by the difference.
    mean: i32,
}

impl<'a> Plane<'a> {
    fn new(
        component: &'a Component,
        header: &'a Header,
        unit: (usize, usize),
        stride: usize,
        rows: usize,
    ) -> Option<Self> {
        let whole = unit.0.is_multiple_of(component.across) && unit.1.is_multiple_of(component.down);
        let (width, height) = (unit.0 / component.across, unit.1 / component.down);
        if !whole || ![1, 2, 4, 8].contains(&width) || ![1, 2, 4, 8].contains(&height) {
            return None;
        }
        let [dc, ac] = &header.huffman;
        Some(Self {
            component,
            dc: dc.get(component.dc)?.as_ref()?,
            ac: ac.get(component.ac)?.as_ref()?,
            width,
            height,
            basis: [basis(width), basis(height)],
            last: (0..64).rev().find(|&place| ZIGZAG[place] % 8 < width && ZIGZAG[place] / 8 < height)?,
            stride,
            pixels: vec![0; stride * rows],
            mean: 0,
        })
    }

    /// Reads the component's blocks of one unit, for the unit's `place` in the plane if it is wanted.
    #[inline(always)]
    fn unit(&mut self, bits: &mut Bits, place: Option<(usize, usize)>) -> Option<()> {
        for down in 0..self.component.down {
            for across in 0..self.component.across {
                self.mean = self.mean.wrapping_add(self.dc.difference(bits)?);
                let Some((column, row)) = place else {
                    self.ac.coefficients(bits, 0, |_, _| ())?;
                    continue;
                };
                let x = (column * self.component.across + across) * self.width;
                let y = (row * self.component.down + down) * self.height;
                self.block(bits, y * self.stride + x)?;
            }
        }
        Some(())
    }

    #[inline(always)]
    fn block(&mut self, bits: &mut Bits, at: usize) -> Option<()> {
        let (width, height, quantisation) = (self.width, self.height, &self.component.quantisation);
        // Frequencies of at most `height` rows are read below, so no more need be zero.
        let mut frequencies = [[0.0; 8]; 8];
        let mean = self.mean as f32 * quantisation[0];
        let mut flat = true;
        self.ac.coefficients(bits, self.last, |place, value| {
            flat = false;
            frequencies[ZIGZAG[place] / 8][ZIGZAG[place] % 8] = value as f32 * quantisation[place];
        })?;
        let rows = self.pixels[at..].chunks_mut(self.stride).take(height);
        if flat {
            rows.for_each(|row| row[..width].fill(to_byte(mean / 8.0 + 128.0)));
            return Some(());
        }
        frequencies[0][0] = mean;
        let [across, down] = &self.basis;
        for (y, row) in rows.enumerate() {
            let mut column = [0.0; 8];
            for v in 0..height {
                column.iter_mut().zip(&frequencies[v]).for_each(|(sum, value)| *sum += value * down[v][y]);
            }
            let mut pixels = [128.0; 8];
            for u in 0..width {
                pixels.iter_mut().zip(&across[u]).for_each(|(pixel, value)| *pixel += column[u] * value);
            }
            row[..width].iter_mut().zip(pixels).for_each(|(pixel, value)| *pixel = to_byte(value));
        }
        Some(())
    }
}

/// b(u, x) for blocks of `n` pixels; see the head of this file.
fn basis(n: usize) -> [[f32; 8]; 8] {
    use std::f64::consts::PI;
    let mut basis = [[0.0; 8]; 8];
    for (u, row) in basis.iter_mut().enumerate().take(n) {
        let (pixels, angle) = (8.0 / n as f64, u as f64 * PI / 16.0);
        let mean = if u == 0 { 0.125f64.sqrt() } else { 0.5 * (pixels * angle).sin() / (pixels * angle.sin()) };
        for (x, value) in row.iter_mut().enumerate().take(n) {
            *value = (mean * ((2 * x + 1) as f64 * u as f64 * PI / (2 * n) as f64).cos()) as f32;
        }
    }
    basis
}

/// Rounded, and cut off at 0 and 255, as casts to u8 are.
#[inline(always)]
fn to_byte(value: f32) -> u8 {
    (value + 0.5) as u8
}

/// Appends a row of pixels as red, green and blue, by JFIF's formulas with 16 bits behind the point.
fn write_row(planes: &[Plane], span: std::ops::Range<usize>, out: &mut Vec<u8>) {
    let [brightness, blue, red] = planes else {
        return out.extend(planes[0].pixels[span].iter().flat_map(|&grey| [grey; 3]));
    };
    let row = |plane: &Plane| plane.pixels[span.clone()].to_vec();
    let (brightness, blue, red) = (row(brightness), row(blue), row(red));
    out.extend(brightness.iter().zip(&blue).zip(&red).flat_map(|((&y, &b), &r)| {
        let (y, b, r) = ((i32::from(y) << 16) + (1 << 15), i32::from(b) - 128, i32::from(r) - 128);
        [y + 91_881 * r, y - 22_554 * b - 46_802 * r, y + 116_130 * b].map(|value| (value >> 16).clamp(0, 255) as u8)
    }));
}

/// The data of a scan, padded, without the zeros behind every 255 and without markers, and where it begins anew.
fn without_markers(scan: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let (mut data, mut starts, mut rest) = (Vec::with_capacity(scan.len() + Bits::PADDING), vec![0], scan);
    while let Some(at) = memchr::memchr(0xff, rest) {
        let (kept, skipped) = match rest.get(at + 1) {
            Some(0x00) => (at + 1, 2),
            Some(0xff) => (at, 1),
            Some(0xd0..=0xd7) => (at, 2),
            _ => {
                data.extend_from_slice(&rest[..at]);
                break;
            }
        };
        data.extend_from_slice(&rest[..kept]);
        if matches!(rest[at + 1], 0xd0..=0xd7) {
            starts.push(data.len());
        }
        rest = &rest[at + skipped..];
    }
    data.extend_from_slice(&[0; Bits::PADDING]);
    (data, starts)
}
