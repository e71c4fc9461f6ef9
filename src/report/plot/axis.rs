//! Where numbers lie along an axis, and which of them are written beside it.

use crate::report::format;

/// One axis of a plot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// Smallest and largest number shown.
    pub(super) range: (f64, f64),
    /// Where those two lie, in pixels.
    pub(super) pixels: (f64, f64),
    /// Whether equal ratios are equally far apart; the range is positive then.
    pub(super) log: bool,
    /// Whether only whole numbers are written, as for epochs.
    pub(super) whole: bool,
}

impl Axis {
    /// Where `value` lies, in pixels.
    pub(super) fn at(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.log { value.log10() } else { value };
        let (low, high) = (scale(self.range.0), scale(self.range.1));
        self.pixels.0 + (self.pixels.1 - self.pixels.0) * (scale(value) - low) / (high - low)
    }

    /// The numbers to write, and how; `most` at most on a linear axis.
    pub(super) fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        if self.log { self.log_ticks() } else { self.linear_ticks(most) }
    }

    fn linear_ticks(&self, most: usize) -> Vec<(f64, String)> {
        let (low, high) = self.range;
        let mut exponent = ((high - low) / most as f64).log10().floor() as i32;
        if self.whole {
            exponent = exponent.max(0);
        }
        let steps = (exponent..).flat_map(|exponent| [1, 2, 5].map(|digit| (digit, exponent)));
        for (digit, exponent) in steps {
            let step = f64::from(digit) * 10f64.powi(exponent);
            let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
            if last - first + 1.0 <= most as f64 {
                let decimals = (-exponent).max(0) as usize;
                let values = (first as i64..=last as i64).map(|index| index as f64 * step);
                return values.map(|value| (value, plain(value, decimals))).collect();
            }
        }
        Vec::new()
    }

    fn log_ticks(&self) -> Vec<(f64, String)> {
        let (low, high) = (self.range.0.log10(), self.range.1.log10());
        let digits: &[f64] = if high - low < 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let every = ((high - low) / 10.0).ceil().max(1.0) as i32;
        let mut ticks = Vec::new();
        for exponent in low.floor() as i32..=high.ceil() as i32 {
            for digit in digits {
                let value = digit * 10f64.powi(exponent);
                let inside = (low - 1e-9..=high + 1e-9).contains(&value.log10());
                if inside && exponent.rem_euclid(every) == 0 {
                    let text = match exponent {
                        -3..0 => plain(value, -exponent as usize),
                        0..7 => format::count(value as u64),
                        _ => format!("{digit}e{exponent}"),
                    };
                    ticks.push((value, text));
                }
            }
        }
        ticks
    }
}

fn plain(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    // no "-0.0"
    if text.trim_start_matches('-').chars().all(|c| c == '0' || c == '.') {
        text.trim_start_matches('-').to_string()
    } else {
        text
    }
}

/// A range that shows `values` with a margin; whatever is not finite is left out, as is on a log axis whatever is not
/// positive. Without values it is 0..1, or 0.1..1 on a log axis.
pub(super) fn range_of(values: impl Iterator<Item = f64>, log: bool, margin: f64) -> (f64, f64) {
    let shown = values.filter(|value| value.is_finite() && (!log || *value > 0.0));
    let shown = shown.map(|value| if log { value.log10() } else { value });
    let (low, high) = shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let (low, high) = match high - low {
        gap if gap.is_nan() || gap == f64::NEG_INFINITY => (if log { -1.0 } else { 0.0 }, if log { 0.0 } else { 1.0 }),
        gap if gap <= 1e-9 * high.abs() => {
            let pad = if log { 0.5 } else { (0.1 * high.abs()).max(0.5) };
            (low - pad, high + pad)
        }
        gap => (low - margin * gap, high + margin * gap),
    };
    if log { (10f64.powf(low), 10f64.powf(high)) } else { (low, high) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(range: (f64, f64), log: bool, whole: bool) -> Vec<String> {
        let axis = Axis { range, pixels: (0.0, 100.0), log, whole };
        axis.ticks(6).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(ticks((0.0, 1.0), false, false), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(ticks((-0.11, 0.07), false, false), ["-0.10", "-0.05", "0.00", "0.05"]);
        assert_eq!(ticks((0.5, 1.5), false, true), ["1"]);
        assert_eq!(ticks((0.0, 30.0), false, true), ["0", "10", "20", "30"]);
        assert_eq!(ticks((1e-5, 1.0), true, false), ["1e-5", "1e-4", "0.001", "0.01", "0.1", "1"]);
        assert_eq!(ticks((1.0, 20.0), true, false), ["1", "2", "5", "10", "20"]);
        assert_eq!(ticks((1e3, 1e5), true, false), ["1,000", "10,000", "100,000"]);
    }

    #[test]
    fn places_are_proportional() {
        let axis = Axis { range: (0.01, 100.0), pixels: (10.0, 50.0), log: true, whole: false };
        assert!((axis.at(1.0) - 30.0).abs() < 1e-9);
        let axis = Axis { range: (0.0, 4.0), pixels: (100.0, 0.0), log: false, whole: false };
        assert_eq!(axis.at(1.0), 75.0);
    }

    #[test]
    fn ranges_survive_no_values_one_value_and_gaps() {
        assert_eq!(range_of([].into_iter(), false, 0.1), (0.0, 1.0));
        assert_eq!(range_of([f64::NAN].into_iter(), false, 0.1), (0.0, 1.0));
        assert_eq!(range_of([3.0].into_iter(), false, 0.1), (2.5, 3.5));
        assert_eq!(range_of([0.0, f64::INFINITY, 10.0].into_iter(), false, 0.1), (-1.0, 11.0));
        let (low, high) = range_of([-1.0, 0.0, 1.0, 100.0].into_iter(), true, 0.0);
        assert!((low - 1.0).abs() < 1e-12 && (high - 100.0).abs() < 1e-9);
    }
}
