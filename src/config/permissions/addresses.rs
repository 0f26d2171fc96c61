//! Classes of IP addresses: public, and metadata services of clouds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns the IPv4 address that an IPv6 address embeds, else the address itself.
///
/// Source: RFC 4291, 2.5.5 (mapped and compatible addresses); RFC 6052, 2.1 (the prefix `64:ff9b::/96`).
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, high, low] = v6.segments();
    let inner = Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => IpAddr::V4(inner),
        [0, 0, 0, 0, 0, 0] if high != 0 => IpAddr::V4(inner),
        _ => address,
    }
}

/// Returns whether an address is globally reachable: not private, shared, loopback, link-local, multicast or reserved.
///
/// Source: the IANA special-purpose address registries (RFC 6890).
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let is_special = match (a, b, c) {
                (0 | 10 | 127, ..) | (169, 254, _) | (192, 168, _) | (192, 0, 0) => true,
                (100, 64..=127, _) | (172, 16..=31, _) | (198, 18..=19, _) => true,
                (224.., ..) => true,
                _ => v4.is_documentation(),
            };
            !is_special
        }
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            let is_global_unicast = (a & 0xe000) == 0x2000;
            let is_documentation = a == 0x2001 && b == 0x0db8;
            // 6to4 and Teredo embed an arbitrary IPv4 address.
            let is_tunnel = a == 0x2002 || (a == 0x2001 && b == 0);
            is_global_unicast && !is_documentation && !is_tunnel
        }
    }
}

/// Returns whether an address belongs to a metadata service, which returns credentials of the machine.
///
/// Source: the manuals of AWS (IMDS, ECS, EKS), Google Cloud, Azure (also `168.63.129.16`), Oracle, Alibaba.
pub(super) fn is_metadata_address(address: IpAddr) -> bool {
    const V4: [[u8; 4]; 6] = [
        [169, 254, 169, 254],
        [169, 254, 170, 2],
        [169, 254, 170, 23],
        [168, 63, 129, 16],
        [192, 0, 0, 192],
        [100, 100, 100, 200],
    ];
    const V6: [[u16; 8]; 3] = [
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254],
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23],
        [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254],
    ];
    match address {
        IpAddr::V4(v4) => V4.contains(&v4.octets()),
        IpAddr::V6(v6) => V6.iter().any(|segments| v6 == Ipv6Addr::from(*segments)),
    }
}

/// Returns whether a name belongs to a metadata service.
pub(super) fn is_metadata_name(host: &str) -> bool {
    matches!(
        host,
        "metadata" | "metadata.google.internal" | "metadata.goog" | "instance-data" | "instance-data.ec2.internal"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedded_address_is_recognised() {
        for text in ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "::169.254.169.254"] {
            assert!(is_metadata_address(canonical(text.parse().unwrap())), "{text}");
        }
        assert_eq!(canonical("::1".parse().unwrap()), "::1".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn only_globally_reachable_addresses_are_public() {
        for text in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
        let private = "10.0.0.1 127.0.0.1 0.0.0.0 169.254.1.1 192.168.1.1 172.16.0.1 100.64.0.1 255.255.255.255 224.0.0.1 \
            ::1 :: fe80::1 fd00::1 ff02::1 2002:7f00:1:: 2001:db8::1";
        for text in private.split_whitespace() {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }
}
