//! The one header that is believed.

use super::header_grammar::{Hop, forwarded_hops, list_hops, parse_node, parse_with_port};
use crate::{error::ConfigError, name::is_field_name};

/// The most bytes of forwarding headers that are read.
const MAX_BYTES: usize = 8 * 1024;

const CLOUDFRONT: &str = "cloudfront-viewer-address";

#[derive(Clone, Debug)]
pub(super) enum Header {
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
    /// One address, as in `cf-connecting-ip`.
    Single(String),
    /// CloudFront's one address, which always has a port behind it.
    CloudFront,
}

impl Header {
    pub(super) fn parse(name: &str) -> Result<Self, ConfigError> {
        match name.to_ascii_lowercase().as_str() {
            "x-forwarded-for" => Ok(Self::XForwardedFor),
            "forwarded" => Ok(Self::Forwarded),
            CLOUDFRONT => Ok(Self::CloudFront),
            single if is_field_name(single) => Ok(Self::Single(single.to_owned())),
            other => Err(ConfigError::at(
                "client_ip_header",
                format!(
                    "{other:?} is no header name; write \"x-forwarded-for\", \"forwarded\" or such"
                ),
            )),
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
            Self::CloudFront => CLOUDFRONT,
            Self::Single(name) => name,
        }
    }

    /// Returns true if the header holds one address and no list.
    pub(super) const fn is_single(&self) -> bool {
        matches!(self, Self::Single(_) | Self::CloudFront)
    }

    /// The addresses that the lines name, in their order.
    pub(super) fn hops(&self, lines: &[&[u8]]) -> Result<Vec<Hop>, &'static str> {
        let size: usize = lines.iter().map(|line| line.len()).sum();
        if size > MAX_BYTES {
            return Err("is longer than 8 KiB");
        }
        match (self, lines) {
            (Self::XForwardedFor, _) => Ok(list_hops(lines)),
            (Self::Forwarded, _) => forwarded_hops(lines),
            (Self::Single(_), [line]) => Ok(vec![parse_node(line)]),
            (Self::CloudFront, [line]) => Ok(vec![parse_with_port(line)]),
            (Self::Single(_) | Self::CloudFront, _) => Err("is there more than once"),
        }
    }
}
