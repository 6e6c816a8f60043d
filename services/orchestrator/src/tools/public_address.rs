//! Which addresses a request that a tenant declares may go to: public ones alone, so that nobody reaches what is private by way
//! of us.

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Whether an address is a public one (IANA's registries of special-purpose addresses, RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        (0 | 10 | 127 | 224..=255, ..) => true,
        (100, 64..=127, _) => true,
        // Link-local, and with it the clouds' metadata.
        (169, 254, _) => true,
        (172, 16..=31, _) => true,
        (192, 0, 0 | 2) | (192, 88, 99) | (192, 168, _) => true,
        (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => true,
        _ => false,
    };
    !special
}

/// Of IPv6 only what is handed out for the world: 2000::/3, without what stands for another address (6to4, Teredo) or for
/// nobody's. Everything mapped, translated, local or multicast lies outside.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let is_global = a & 0xe000 == 0x2000;
    let special = match a {
        // Protocols of the IETF with Teredo, benchmarks, ORCHID; documentation.
        0x2001 => b < 0x0200 || b == 0x0db8,
        // 6to4.
        0x2002 => true,
        0x3fff => b < 0x1000,
        _ => false,
    };
    is_global && !special
}

/// Resolves names to public addresses. Whoever asks connects to what was checked, for nothing is resolved a second time. A name
/// with even one other address is nobody's whom we may ask.
#[derive(Clone, Copy)]
pub(super) struct PublicOnly {
    /// Loopback as well: on a developer's machine.
    pub(super) loopback: bool,
}

impl PublicOnly {
    /// Whether the address may be asked.
    pub(super) fn allows(&self, address: IpAddr) -> bool {
        is_public(address) || self.loopback && address.is_loopback()
    }
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let this = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() || found.iter().any(|at| !this.allows(at.ip())) {
                let refused = "the host has an address that is not public";
                return Err(Box::<dyn Error + Send + Sync>::from(refused));
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_private_is_not_public_however_it_is_written() {
        let private = "0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 127.9.9.9 169.254.169.254 172.16.0.1 \
            172.31.255.255 192.0.0.8 192.0.2.1 192.168.1.1 198.18.0.1 198.51.100.7 203.0.113.9 224.0.0.1 \
            255.255.255.255 :: ::1 ::ffff:10.0.0.1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 \
            64:ff9b::7f00:1 64:ff9b:1::1 fe80::1 fc00::1 fd00:ec2::254 ff02::1 2002:7f00:1:: \
            2002:a9fe:a9fe::1 2001::1 2001:0:4136:e378:: 2001:db8::1 3fff::1 100::1 5f00::1";
        for address in private.split_whitespace() {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn what_is_public_is() {
        let public = "8.8.8.8 1.1.1.1 172.32.0.1 192.0.1.1 100.128.0.1 198.20.0.1 2600:1f18::1 \
            2a00:1450:4001::200e 2001:4860:4860::8888 2001:200::1";
        for address in public.split_whitespace() {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_developers_machine_may_ask_itself_and_nobody_else_that_is_private() {
        let here = PublicOnly { loopback: true };
        assert!(here.allows("127.0.0.1".parse().unwrap()) && here.allows("::1".parse().unwrap()));
        assert!(!here.allows("10.0.0.1".parse().unwrap()));
        assert!(!PublicOnly { loopback: false }.allows("127.0.0.1".parse().unwrap()));
    }
}
