//! Numbers as people read them.

/// A loss or another metric: with four decimals, with six where it is small, or else as a power of ten. It has at least four significant
/// digits and is at most ten columns wide.
pub(super) fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0.0000".into(),
        size if !size.is_finite() => value.to_string(),
        1e-2..1e4 => format!("{value:.4}"),
        1e-3..1e-2 => format!("{value:.6}"),
        1e4..1e8 => format!("{value:.0}"),
        _ => format!("{value:.3e}"),
    }
}

/// A number in six columns, or seven with its sign.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if !size.is_finite() => value.to_string(),
        size if !(1e-3..1e4).contains(&size) => format!("{value:.1e}"),
        size if size < 1.0 => trimmed(format!("{value:.4}")),
        size if size < 100.0 => trimmed(format!("{value:.2}")),
        _ => format!("{value:.0}"),
    }
}

/// The f64 that is written with the same digits as the f32 number on the device.
pub(super) fn shortest(value: f64) -> f64 {
    (value as f32).to_string().parse().unwrap_or(value)
}

/// A number without trailing zeros.
pub(super) fn trimmed(text: String) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}

/// "189 MiB"
pub(super) fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (bytes.max(1).ilog2() / 10).min(units.len() as u32 - 1);
    let number = bytes as f64 / f64::from(10 * power).exp2();
    let digits = if number < 10.0 && power > 0 { 1 } else { 0 };
    format!("{number:.digits$} {}", units[power as usize])
}

/// "45.2 s", "3 min 20 s", "2 h 5 min": how long something took.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// "0:42", "1:02:03", "3 d 4 h": the time that is left.
pub(super) fn countdown(seconds: f64) -> String {
    let all = seconds.clamp(0.0, 1e12).round() as u64;
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        1..24 => format!("{hours}:{minutes:02}:{seconds:02}"),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// "2026-11-25 17:17:40", in UTC as it is written.
pub(super) fn to_the_second(time: &str) -> String {
    time.get(..19).unwrap_or(time).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds a number that is wrong by a power of ten, or wider than its column.
    #[test]
    fn numbers_are_what_they_say() {
        assert_eq!(
            [0.2211, 0.0345, 0.001_234_5, 7e-8, -1.7e-6, 8_911_011_718_094.9, 123_456.7, 12.5, 0.0].map(figure),
            ["0.2211", "0.0345", "0.001234", "7.000e-8", "-1.700e-6", "8.911e12", "123457", "12.5000", "0.0000"]
        );
        let widest = (-320..308).map(|power| figure(-9.999_95 * 10f64.powi(power)).chars().count()).max();
        assert_eq!(widest, Some(11));
        assert_eq!([f64::from(1e-3f32), f64::from(0.1f32), 0.0].map(shortest), [0.001, 0.1, 0.0]);
        assert_eq!([0.0, 42.4, 3723.0, 100_000.0].map(countdown), ["0:00", "0:42", "1:02:03", "1 d 3 h"]);
        assert_eq!(
            [0, 1023, 1024, 198_181_000, 3 << 30].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "189 MiB", "3.0 GiB"]
        );
        assert_eq!(
            [0.001, 0.01234, 2.3, 1234.6, 1e-5, -12.34].map(number),
            ["0.001", "0.0123", "2.3", "1235", "1.0e-5", "-12.34"]
        );
    }
}
