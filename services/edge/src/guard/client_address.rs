//! Whose request it is when a load balancer stands between, and whether a vendor may ask from there (E3).

use std::{fmt, net::IpAddr, str::FromStr};

use domain::Channel;

/// The proxies whose `X-Forwarded-For` is believed (`SB_TRUSTED_PROXIES`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(pub Ranges);

/// From where the vendors' webhooks may come. The vendors publish no ranges that hold, so unless an operator says otherwise
/// they may come from everywhere, and the signature alone is the proof.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VendorSources {
    /// Meta (`SB_WHATSAPP_SOURCES`).
    pub whatsapp: Ranges,
    /// Twilio (`SB_TWILIO_SOURCES`).
    pub twilio: Ranges,
}

impl VendorSources {
    /// Whether a webhook of `channel` may come from `source`.
    pub fn allow(&self, channel: &Channel, source: IpAddr) -> bool {
        let ranges = if *channel == Channel::WHATSAPP {
            &self.whatsapp
        } else if *channel == Channel::VOICE || *channel == Channel::SMS {
            &self.twilio
        } else {
            return true;
        };
        ranges.0.is_empty() || ranges.contains(source)
    }
}

/// Addresses and CIDR ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Range {
    network: u128,
    prefix_bits: u8,
}

/// An entry of the list is neither an address nor a range.
#[derive(Debug, PartialEq, Eq)]
pub struct NotARange(String);

impl fmt::Display for NotARange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is neither an IP address nor a CIDR range such as 10.0.0.0/16", self.0)
    }
}

impl std::error::Error for NotARange {}

impl Ranges {
    /// Reads the entries of the list.
    ///
    /// # Errors
    /// Names the first entry that cannot be understood.
    pub fn parse(entries: &[String]) -> Result<Self, NotARange> {
        entries.iter().map(|e| e.parse()).collect::<Result<_, _>>().map(Self)
    }

    fn contains(&self, address: IpAddr) -> bool {
        let bits = mapped(address);
        self.0.iter().any(|r| {
            (bits ^ r.network).checked_shr(u32::from(128 - r.prefix_bits)).unwrap_or(0) == 0
        })
    }
}

impl TrustedProxies {
    /// The address a request came from: the peer's, or, behind trusted proxies, the last one in `X-Forwarded-For` that
    /// is no trusted proxy. What stands before it was written by the caller and proves nothing.
    pub fn source(&self, peer: IpAddr, forwarded_for: &str) -> IpAddr {
        let peer = peer.to_canonical();
        let mut source = peer;
        for hop in forwarded_for.rsplit(',').map(str::trim) {
            if !self.0.contains(source) {
                break;
            }
            match hop.parse::<IpAddr>() {
                Ok(address) => source = address.to_canonical(),
                Err(_) => break,
            }
        }
        source
    }
}

impl FromStr for Range {
    type Err = NotARange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault = || NotARange(text.to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| fault())?;
        let family_bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = prefix.map_or(Ok(family_bits), str::parse).map_err(|_| fault())?;
        if prefix > family_bits {
            return Err(fault());
        }
        Ok(Self { network: mapped(address), prefix_bits: 128 - family_bits + prefix })
    }
}

/// Both families on one number line: an IPv4 address as its IPv6-mapped form.
fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn ranges(list: &[&str]) -> Ranges {
        Ranges::parse(&list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn trusted(list: &[&str]) -> TrustedProxies {
        TrustedProxies(ranges(list))
    }

    #[test]
    fn a_header_from_an_untrusted_peer_is_not_believed() {
        let none = TrustedProxies::default();
        assert_eq!(none.source(ip("203.0.113.9"), "198.51.100.1"), ip("203.0.113.9"));
    }

    #[test]
    fn behind_a_balancer_the_address_is_the_callers_not_the_balancers() {
        let lb = trusted(&["10.0.0.0/16", "2001:db8::/32"]);
        assert_eq!(lb.source(ip("10.0.3.4"), "198.51.100.1"), ip("198.51.100.1"));
        assert_eq!(lb.source(ip("10.1.3.4"), "198.51.100.1"), ip("10.1.3.4"), "outside the range");
        assert_eq!(
            lb.source(ip("2001:db8::7"), "198.51.100.1, 10.0.0.9"),
            ip("198.51.100.1"),
            "two proxies"
        );
    }

    #[test]
    fn what_the_caller_wrote_into_the_header_itself_proves_nothing() {
        let lb = trusted(&["10.0.0.1"]);
        assert_eq!(lb.source(ip("10.0.0.1"), "1.1.1.1, 198.51.100.1"), ip("198.51.100.1"));
        assert_eq!(lb.source(ip("10.0.0.1"), "garbage"), ip("10.0.0.1"));
        assert_eq!(
            lb.source(ip("::ffff:10.0.0.1"), "198.51.100.1"),
            ip("198.51.100.1"),
            "mapped form"
        );
    }

    #[test]
    fn a_wrong_entry_is_named() {
        for bad in ["10.0.0.0/33", "example.com", "10.0.0.0/x", ""] {
            let fault = Ranges::parse(&[bad.to_owned()]).unwrap_err();
            assert!(fault.to_string().contains(&format!("{bad:?}")));
        }
        assert!(ranges(&["0.0.0.0/0"]).contains(ip("8.8.8.8")));
        assert!(!ranges(&["0.0.0.0/0"]).contains(ip("2001:db8::1")));
        assert!(ranges(&["::/0"]).contains(ip("2001:db8::1")));
    }

    #[test]
    fn a_vendor_asks_from_its_ranges_where_there_are_any() {
        let sources =
            VendorSources { twilio: ranges(&["203.0.113.0/24"]), ..VendorSources::default() };
        for channel in [Channel::VOICE, Channel::SMS] {
            assert!(sources.allow(&channel, ip("203.0.113.9")));
            assert!(!sources.allow(&channel, ip("198.51.100.1")));
        }
        for channel in [Channel::WHATSAPP, Channel::BROWSER, Channel::named("toy")] {
            assert!(sources.allow(&channel, ip("198.51.100.1")));
        }
    }
}
