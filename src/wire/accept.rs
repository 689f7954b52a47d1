//! Which format of the metrics a request asks for (RFC 9110 §12.5.1). Prometheus names several, and says by weights which it
//! would rather have.

use prometheus_client::encoding::prometheus_text;

/// A format of the metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MetricsFormat {
    /// Prometheus's own, version 0.0.4: for everyone who does not ask for the other one.
    #[default]
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl MetricsFormat {
    /// The one that the values of the field `Accept` ask for. That is OpenMetrics only where it is named, and weighs no less than
    /// the other.
    pub fn negotiate<'a>(accept: impl Iterator<Item = &'a [u8]>) -> Self {
        let [mut open_metrics, mut plain, mut any_text, mut anything] = [None; 4];
        let lists = accept.filter_map(|value| str::from_utf8(value).ok());
        for range in lists.flat_map(|list| list.split(',')).filter_map(Range::read) {
            let weight = match (&*range.media_type, range.version) {
                ("application/openmetrics-text", None | Some("1.0.0")) => &mut open_metrics,
                ("text/plain", None | Some("0.0.4")) => &mut plain,
                ("text/*", _) => &mut any_text,
                ("*/*", _) => &mut anything,
                _ => continue,
            };
            *weight = Some(range.weight.max(weight.unwrap_or(0.0)));
        }
        // The most specific range counts.
        let prometheus = plain.or(any_text).or(anything).unwrap_or(0.0);
        match open_metrics {
            Some(weight) if weight > 0.0 && weight >= prometheus => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// As in `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What counts of a media range.
struct Range<'a> {
    /// In lower case.
    media_type: String,
    version: Option<&'a str>,
    /// From 0 to 1.
    weight: f32,
}

impl<'a> Range<'a> {
    /// Nothing where the weight cannot be read.
    fn read(range: &'a str) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next()?.to_ascii_lowercase();
        let mut range = Self { media_type, version: None, weight: 1.0 };
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            match &*name.to_ascii_lowercase() {
                "version" => range.version = Some(value.trim_matches('"')),
                "q" => range.weight = value.parse().ok().filter(|weight| (0.0..=1.0).contains(weight))?,
                _ => {}
            }
        }
        Some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiated(accept: &[&str]) -> MetricsFormat {
        MetricsFormat::negotiate(accept.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn prometheus_gets_openmetrics_as_it_asks() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [prometheus_2, prometheus_3] {
            assert_eq!(negotiated(&[accept]), MetricsFormat::OpenMetrics, "{accept}");
        }
    }

    #[test]
    fn openmetrics_is_for_whoever_names_it_and_does_not_prefer_text() {
        for accept in [
            &["application/openmetrics-text"][..],
            &["Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8; Q=0.5"],
            &["application/openmetrics-text, text/plain"],
            &["text/plain;q=0.5", "application/openmetrics-text;q=0.5"],
            // The general range does not count for what a more specific one names.
            &["*/*, text/plain;q=0.1, application/openmetrics-text;q=0.2"],
            &["text/plain;version=1.0.0, application/openmetrics-text;q=0.1"],
        ] {
            assert_eq!(negotiated(accept), MetricsFormat::OpenMetrics, "{accept:?}");
        }
        for accept in [
            &[][..],
            &[""],
            &["*/*"],
            &["application/*"],
            &["text/html, */*;q=0.8"],
            &["application/openmetrics-text;q=0.5, */*;q=0.8"],
            &["application/openmetrics-text;q=0.5, text/*;q=0.8, */*;q=0.1"],
            &["application/openmetrics-text;version=0.0.1"],
            &["application/openmetrics-text;q=0"],
            &["application/openmetrics-text;q=2"],
            &["application/openmetrics-text;q=nan"],
        ] {
            assert_eq!(negotiated(accept), MetricsFormat::Prometheus, "{accept:?}");
        }
    }
}
