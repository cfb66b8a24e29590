//! Decides how a moment is written, as JavaScript does: `2026-11-21T14:00:00.000Z`.

/// The furthest moment that a date of JavaScript can be, in milliseconds around 1970.
const FURTHEST_MS: i64 = 8_640_000_000_000_000;

const MS_OF_DAY: i64 = 86_400_000;

/// Returns the text of a moment, given in milliseconds since 1970; `None` if a date of JavaScript cannot be so far away.
pub(super) fn iso(ms: i64) -> Option<String> {
    if !(-FURTHEST_MS..=FURTHEST_MS).contains(&ms) {
        return None;
    }
    let (year, month, day) = civil(ms.div_euclid(MS_OF_DAY));
    let ms = ms.rem_euclid(MS_OF_DAY);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        _ if year < 0 => format!("-{:06}", -year),
        _ => format!("+{year:06}"),
    };
    Some(format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000))
}

/// Returns year, month and day of a day, counted from 1970.
///
/// Years begin in March here, so that the day of a leap year is their last; 400 of them have 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts are what `new Date(ms).toISOString()` gives in Node.
    #[test]
    fn moments_as_javascript_writes_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_583_020_799_999, "2020-02-29T23:59:59.999Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_200_001, "-000001-12-31T23:59:59.999Z"),
            (FURTHEST_MS, "+275760-09-13T00:00:00.000Z"),
            (-FURTHEST_MS, "-271821-04-20T00:00:00.000Z"),
        ] {
            assert_eq!(iso(ms).as_deref(), Some(text), "{ms}");
        }
        assert_eq!(iso(FURTHEST_MS + 1), None);
        assert_eq!(iso(i64::MIN), None);
    }
}
