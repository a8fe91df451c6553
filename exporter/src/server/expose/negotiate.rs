//! Which format and compression a scrape gets: what it prefers most of what there is.

/// The formats there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text, version 0.0.4.
    Text,
    /// `OpenMetrics`, version 1.0.0.
    OpenMetrics,
    /// Prometheus' messages, each behind its length.
    Protobuf,
}

impl Format {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// The compressions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    Zstd,
}

impl Encoding {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// The format for an `accept` header: text for whoever asks for nothing that there is.
pub(crate) fn format(accept: &str) -> Format {
    preferred(accept, |media, parameters| {
        let is = |name, value| parameters.iter().any(|(known, stated)| *known == name && *stated == value);
        match media {
            "application/vnd.google.protobuf"
                if is("proto", "io.prometheus.client.MetricFamily") && is("encoding", "delimited") =>
            {
                Some(Format::Protobuf)
            }
            // Version 0.0.1 differs in nothing that is written here.
            "application/openmetrics-text" => Some(Format::OpenMetrics),
            "text/plain" | "text/*" | "*/*" => Some(Format::Text),
            _ => None,
        }
    })
    .unwrap_or(Format::Text)
}

/// The compression for an `accept-encoding` header.
pub(crate) fn encoding(accept: &str) -> Option<Encoding> {
    preferred(accept, |name, _| match name {
        "gzip" => Some(Encoding::Gzip),
        "zstd" => Some(Encoding::Zstd),
        _ => None,
    })
}

/// Of what there is, the first of the most preferred.
fn preferred<T>(header: &str, known: impl Fn(&str, &[(&str, &str)]) -> Option<T>) -> Option<T> {
    let mut best: Option<(f32, T)> = None;
    for entry in header.split(',') {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameters: Vec<(&str, &str)> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
            .collect();
        let stated = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case("q"));
        let quality = stated.map_or(1.0, |(_, value)| value.parse().unwrap_or(0.0));
        let Some(found) = known(&name, &parameters) else { continue };
        if quality > 0.0 && best.as_ref().is_none_or(|(most, _)| quality > *most) {
            best = Some((quality, found));
        }
    }
    best.map(|(_, found)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_gets_what_it_prefers() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(format(prometheus), Format::OpenMetrics);
        let native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
                      application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        assert_eq!(format(native), Format::Protobuf);
    }

    #[test]
    fn whoever_asks_for_nothing_known_gets_text() {
        for accept in [
            "",
            "*/*",
            "text/html,application/xml;q=0.9",
            "application/vnd.google.protobuf",
            ";;,=,",
            "text/plain;q=x",
        ] {
            assert_eq!(format(accept), Format::Text, "{accept}");
        }
    }

    #[test]
    fn compression_is_only_what_was_asked_for() {
        assert_eq!(encoding("gzip"), Some(Encoding::Gzip));
        assert_eq!(encoding("gzip;q=0.5, zstd"), Some(Encoding::Zstd));
        assert_eq!(encoding("gzip;q=0, br"), None);
        assert_eq!(encoding(""), None);
    }
}
