//! The date as templates ask for it: `strftime_now` in UTC, with the directives that chat templates use.

use crate::clock::civil;

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Formats a time, given in seconds since the Unix epoch. An unknown directive is copied as it stands.
pub(super) fn strftime(format: &str, seconds: u64) -> String {
    let moment = Moment::new(seconds);
    let mut text = String::with_capacity(format.len() + 16);
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('-') => {
                let padded = chars.next().and_then(|directive| moment.field(directive)).unwrap_or_default();
                let bare = padded.trim_start_matches(['0', ' ']);
                text.push_str(if bare.is_empty() { "0" } else { bare });
            }
            Some(directive) => match moment.field(directive) {
                Some(field) => text.push_str(&field),
                None => text.extend(['%', directive]),
            },
            None => text.push('%'),
        }
    }
    text
}

struct Moment {
    year: u64,
    month: u64,
    day: u64,
    weekday: u64,
    second: u64,
    minute: u64,
    hour: u64,
}

impl Moment {
    fn new(seconds: u64) -> Self {
        let days = seconds / 86_400;
        let (year, month, day) = civil(days);
        Self {
            year,
            month,
            day,
            weekday: (days + 4) % 7,
            second: seconds % 60,
            minute: seconds / 60 % 60,
            hour: seconds / 3_600 % 24,
        }
    }

    fn field(&self, directive: char) -> Option<String> {
        let month = MONTHS.get(usize::try_from(self.month).ok()?.checked_sub(1)?)?;
        let day = DAYS.get(usize::try_from(self.weekday).ok()?)?;
        let hour12 = if self.hour.is_multiple_of(12) { 12 } else { self.hour % 12 };
        Some(match directive {
            'Y' => self.year.to_string(),
            'y' => format!("{:02}", self.year % 100),
            'm' => format!("{:02}", self.month),
            'd' => format!("{:02}", self.day),
            'e' => format!("{:2}", self.day),
            'B' => (*month).to_owned(),
            'b' | 'h' => month.get(..3)?.to_owned(),
            'A' => (*day).to_owned(),
            'a' => day.get(..3)?.to_owned(),
            'H' => format!("{:02}", self.hour),
            'I' => format!("{hour12:02}"),
            'p' => if self.hour < 12 { "AM" } else { "PM" }.to_owned(),
            'M' => format!("{:02}", self.minute),
            'S' => format!("{:02}", self.second),
            'F' => format!("{}-{:02}-{:02}", self.year, self.month, self.day),
            'T' => format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second),
            'Z' => "UTC".to_owned(),
            'z' => "+0000".to_owned(),
            '%' => "%".to_owned(),
            _ => return None,
        })
    }
}
