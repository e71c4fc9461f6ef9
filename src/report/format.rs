//! Numbers as people read them, with units: the one place that decides how many digits.

use crate::eval::{Metric, Spread, Unit};

/// A share in 0..1 in percent, as in `94.77 %`.
pub fn percent(share: f64) -> String {
    if share.is_nan() { "–".into() } else { format!("{:.2} %", 100.0 * share) }
}

/// A share over seeds, as in `94.77 ± 1.20 %`; of one seed as [`percent`].
pub fn spread(share: &Spread) -> String {
    match share.values.len() {
        1 => percent(share.mean),
        _ => format!("{:.2} ± {:.2} %", 100.0 * share.mean, 100.0 * share.std),
    }
}

/// A share over seeds in points with one digit, as in `+79.0` and `± 1.2`; the latter empty for one seed.
pub fn points(share: &Spread, with_sign: bool) -> [String; 2] {
    let mean = 100.0 * share.mean;
    let mean = if with_sign { signed(mean, 1) } else { format!("{mean:.1}") };
    [mean, if share.values.len() > 1 { format!("± {:.1}", 100.0 * share.std) } else { String::new() }]
}

/// A number with its sign; what rounds to nothing has none.
pub fn signed(value: f64, decimals: usize) -> String {
    let text = format!("{value:+.decimals$}");
    if text.contains(|digit| ('1'..='9').contains(&digit)) { text } else { text[1..].to_string() }
}

/// A duration, as in `12 ms`, `3.4 s`, `2 min 05 s`, `1 h 02 min`.
pub fn seconds(seconds: f64) -> String {
    let whole = seconds.round();
    let (minutes, hours) = ((whole / 60.0).floor(), (whole / 3600.0).floor());
    match seconds {
        s if !s.is_finite() => "–".into(),
        s if s < 0.0005 => "0 ms".into(),
        s if s < 0.9995 => format!("{:.0} ms", 1000.0 * s),
        s if s < 59.95 => format!("{s:.1} s"),
        _ if whole < 3600.0 => format!("{minutes:.0} min {:02.0} s", whole - 60.0 * minutes),
        _ => format!("{hours:.0} h {:02.0} min", minutes - 60.0 * hours),
    }
}

/// An amount of memory, as in `1.5 GiB`.
pub fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1023.95 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// A speed, as in `123 images/s`; `what` is what is counted.
pub fn rate(per_second: f64, what: &str) -> String {
    match per_second {
        r if !r.is_finite() => format!("– {what}/s"),
        r if r < 99.95 => format!("{r:.1} {what}/s"),
        r => format!("{} {what}/s", count(r.round() as u64)),
    }
}

/// A whole number with its thousands apart, as in `4,652,008`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of no unit with four significant digits: `0.1234`, `12.34`, `1.2e-5`.
pub fn number(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if value.is_nan() => "–".into(),
        0.0 => "0".into(),
        s if !(1e-3..1e5).contains(&s) => format!("{value:.2e}"),
        s => format!("{value:.*}", (3 - s.log10().floor() as i32).max(0) as usize),
    }
}

/// A metric's value in its unit.
pub fn metric(metric: &Metric) -> String {
    match metric.unit {
        Unit::Fraction => percent(metric.value),
        Unit::Nats => format!("{} nats", number(metric.value)),
        Unit::Seconds => seconds(metric.value),
        Unit::Count => count(metric.value.max(0.0).round() as u64),
        Unit::Bytes => bytes(metric.value.max(0.0).round() as u64),
        Unit::PerSecond => format!("{}/s", number(metric.value)),
        Unit::Plain => number(metric.value),
    }
}

/// A metric's name for people: `top5_accuracy` becomes `top5 accuracy`.
pub fn name(name: &str) -> String {
    name.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_change_unit_where_they_should() {
        let cases = [(0.0, "0 ms"), (0.0123, "12 ms"), (0.9996, "1.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s")];
        let longer = [(125.4, "2 min 05 s"), (3599.6, "1 h 00 min"), (90_060.0, "25 h 01 min"), (f64::NAN, "–")];
        for (value, text) in cases.into_iter().chain(longer) {
            assert_eq!(seconds(value), text);
        }
    }

    #[test]
    fn a_spread_of_one_seed_is_its_number() {
        assert_eq!(spread(&Spread::of([0.5])), "50.00 %");
        assert_eq!(spread(&Spread::of([0.5, 0.52])), "51.00 ± 1.41 %");
        assert_eq!(points(&Spread::of([0.5, 0.52]), true), ["+51.0", "± 1.4"]);
        assert_eq!(points(&Spread::of([0.5]), false), ["50.0", ""]);
        assert_eq!([0.04, -0.04, -0.06].map(|value| signed(value, 1)), ["0.0", "0.0", "-0.1"]);
        assert_eq!(signed(0.005001, 2), "+0.01");
    }

    #[test]
    fn amounts_have_units_and_groups() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(bytes(3 << 39), "1.5 TiB");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(123), "123");
        assert_eq!(rate(12.34, "images"), "12.3 images/s");
        assert_eq!(rate(1234.4, "images"), "1,234 images/s");
        assert_eq!(percent(0.94771), "94.77 %");
    }

    #[test]
    fn numbers_have_four_digits() {
        let cases = [(0.0, "0"), (0.12345, "0.1235"), (-12.345, "-12.35"), (1234.0, "1234"), (12_345.6, "12346")];
        for (value, text) in cases.into_iter().chain([(1.23e-5, "1.23e-5"), (1e6, "1.00e6"), (f64::NAN, "–")]) {
            assert_eq!(number(value), text);
        }
        assert_eq!(metric(&Metric::lower("loss", 0.5, Unit::Nats)), "0.5000 nats");
    }
}
