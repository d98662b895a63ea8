//! The document's transcript, the recorded ones, and what each side refuses.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use x509_parser::pem::parse_x509_pem;

use super::certificate::{Certificate, Identity, Unusable};
use super::client::{Client, Failure};
use super::host::{Accepted, Host, Refused};
use super::*;
use crate::gamestream::recorded::{Exchange, exchanges, recording};
use crate::gamestream::wire::hex;
use crate::gamestream::wire::http::pairing::{PairAnswer, PairRequest, SignedSecret};
use crate::gamestream::wire::http::request::Call;
use crate::gamestream::wire::tests::hex as bytes;

/// Session A.1, A.2 and 24.2.
pub(crate) mod document {
    pub(crate) const CLIENT_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
        MIICvzCCAaegAwIBAgIBATANBgkqhkiG9w0BAQsFADAjMSEwHwYDVQQDDBhOVklE\n\
        SUEgR2FtZVN0cmVhbSBDbGllbnQwHhcNMjAwMTAxMDAwMDAwWhcNNDAwMTAxMDAw\n\
        MDAwWjAjMSEwHwYDVQQDDBhOVklESUEgR2FtZVN0cmVhbSBDbGllbnQwggEiMA0G\n\
        CSqGSIb3DQEBAQUAA4IBDwAwggEKAoIBAQCaMU00/2qsNItcj7fKTXkXIgQEINTW\n\
        e0r8bXfeHYzdJGClCXiPGpvZvIQ+WfB5saTxdocBLlGJACh1Sjfb8oFq0V/Za3AZ\n\
        aZq7pt5fX1dIGZGSapXB6wkS07RaG18Uy6F+J7grFOLEZkISFfTjms0PxMdHK1Ct\n\
        ejEibh/CGeGyZnDW5TyUnl02QsimXvRZ3H/6adOuCqqD2wUUGMWO7q6eE8aVqVYz\n\
        l5zSBU/gc0BJz1DX+hfgj6sb8vAOa7rsGfAxAgs7/faUrOI8cCrK/zgX02WudslA\n\
        17TC5U9cVY2EMU3D9On3iJ7IjfrtdACad0hvy7dcpbe1FPHlWmH49E4lAgMBAAEw\n\
        DQYJKoZIhvcNAQELBQADggEBAHv2RTQ7siKhTB2jyCacI9pOw1lnQxjbLU3R/5PU\n\
        SwTiACeOibz5j2Fi0RxKI9cKVL/grQ69Igz8JryyZxNMORw6sMXKPyH98ZZ2AWnp\n\
        Gs7D8O1+HCr9rOaR4fjMQE+FuVbNkMc8hk1Vh6UIvHJaGg1Oys5Ji7s0iUKdmts8\n\
        tYB4BuGdr9mDJDTJqfCXU5xPlP6SSD/j/gja1rh8ZZmw0FohiZ/YcBR51k5qp9Wd\n\
        FqV/Z+oMIXu3fxSIDYl/zJB1QZvhjsPYdFZ2mpv8NqM/+nL8JQRgQ9SVZ8tg4ajz\n\
        S5xYRW4NLLntJCQDeOAJUEOm8MjFbIM3SbE06MUMZHJDA70=\n\
        -----END CERTIFICATE-----\n\
        ";
    pub(crate) const CLIENT_KEY: &str = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCaMU00/2qsNItcj7fKTXkXIgQEINTWe0r8bXfeHYzdJGClCXiPGpvZvIQ+WfB5saTxdocBLlGJACh1Sjfb8oFq0V/Za3AZaZq7pt5fX1dIGZGSapXB6wkS07RaG18Uy6F+J7grFOLEZkISFfTjms0PxMdHK1CtejEibh/CGeGyZnDW5TyUnl02QsimXvRZ3H/6adOuCqqD2wUUGMWO7q6eE8aVqVYzl5zSBU/gc0BJz1DX+hfgj6sb8vAOa7rsGfAxAgs7/faUrOI8cCrK/zgX02WudslA17TC5U9cVY2EMU3D9On3iJ7IjfrtdACad0hvy7dcpbe1FPHlWmH49E4lAgMBAAECggEAN1M3S6vVv6I+2uBqZrkzmJxI6p5JIAgvGLHCj7z0nSh/UNg8HMTEZPTiUmj9Av09nLIVsNPIx6p52dPehRnXW9dyV9XX7BZbQbeXFItmCuW5uNprj5/gqpOxo58sl46VDGn+B98/mo7CaDDepIgXye+mPSAKm6Q7Wwo+dOvKcrMF+GNfhDWYYERErzWMVMjivx+HjTzWp/B1CJ99Frinwi2k2LSKWSv79sBrXA82CgqPNvfvRFy3e1mVn5mu69zT8lBzwPKHrG5d1JrexCRjP66IfvAf8rj2OMmbE0gw5GRCSzuWonihCCuqybj5Rv7k7zmWtjHYTEBjxKKzfd1+RQKBgQDYB+Wq27PdMQEYMPQKkWTT0IKcXlkuHAqVhborm8w3YNT45XHM4KOHP+ibOPftFKnhD6E7ed3tJv9euPVgPMHTiQtR4NY1ET23fMDuD2CqyZ8IUOV8MBDEREkQBYaDQD/kQqT6dOkX7mg3c6+QxyAKw79+IAgZeOY0KcuWWxTkLwKBgQC2uH3o+P5lAFb2Xh4c3t6v8PaBJbAz1mDCt/CmLx96RH3Qsz09jlNieh/nt+dMRSHaJoarYtn7GHwbzKKlezXuDHndNmCF65Nfid01JQ4Xr2cxUBra9sqnAyWCDccwXMYbv0fLNqRozp8u24V1Gx1ePmFx8qJ9brjOP1jAqJXZ6wKBgFWoe/aNevofrjFrZ7ixAevC56cc+fuAfunexnz4H7dtm8S9Jax4/h5oxtCVfCjzYpCs499zaP3Z0rQ6XoE0Vh6MXoKuxgDwvyn8O3upeUj+/SINAZGGdX99HANQTY/JcAwQKN5ucOZeT9B8/IZJjnj2OP3Hsa5387+HOwR5RQVdAoGARCr8Pmh2cDP6PZvLXDYBml4pePEYlZ5LJxn8m+NEuRbIYY4dMNPiZADv2kEP97Jq+Loaz+HnNPhjhPOJUndvHUpmRJM+23eR2bjTYDpc0ZVMyGb8PeiInlpcKfL99xsFheCM5lGScM91L8QSPChLgpd/P0WoPWeLZtbXQ7khftUCgYEAx5FUTdwiPm8bgjcCuos/fu4gntQZRUqqtRojQy4Hr5XbbwJ6ezB8THxizIGO5VJqIhRKWhK0lKQtDfs/x9gljN2Aso5o14nQRdDx+nIZ4rB8vfolW0HFlP1CFMp51Sl/5/5Hz1XZ2vPcNa9pDnVBtv/jQb1qRDRHVw9LZEtFX28=";
    pub(crate) const HOST_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
        MIICwzCCAaugAwIBAgIFESIzRFUwDQYJKoZIhvcNAQELBQAwIzEhMB8GA1UEAwwY\n\
        U3Vuc2hpbmUgR2FtZXN0cmVhbSBIb3N0MB4XDTIwMDEwMTAwMDAwMFoXDTQwMDEw\n\
        MTAwMDAwMFowIzEhMB8GA1UEAwwYU3Vuc2hpbmUgR2FtZXN0cmVhbSBIb3N0MIIB\n\
        IjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAo+0zOldJQfGBaGPrcBZ6WqJp\n\
        5nLCzjdSRxVCKNkKQyrigIQxpRXW5DkJvkIjkcYy9ldkaqJD4wqzZI9UdSmABfmS\n\
        BP6WApUWIboQIhKDwbEXqaqZR7QZ6oAU1NpWYUfKIRExxaUyF3h8MSzzE3Q4ktS9\n\
        6vifnhjJcPsU4cjoLhADtwjSNBNSmvOJC/AgOhMMPjMXdeXOd1HAKVJBiRHo0YsT\n\
        MHaAhNnMWfMf5wuzqq3kQw1EauaGx18WxP9RB/HWfIXPt5O0ByHWxQfdVZLIsna1\n\
        CUPh8kMGbVXzi+FbG6YaFfuHrtyd8BgTEHvUYXDqpIuljm2iavn4z73Wgpj5tQID\n\
        AQABMA0GCSqGSIb3DQEBCwUAA4IBAQAWKsecOGGZ7pJnqQ8bwBOLaNOORHAOvSkf\n\
        isOabbtE97oEb6g6rP+G2DxQMY0ShPeW9FxafoiK+/4Hsl30bgrSiwlz8ZgysBtY\n\
        QoFEV6Jg8U8l6K7wFutucv2UafrOakIPBYeYeP0lpcO5VmMGD+RXZZOueIE80RuV\n\
        VpFWr8oSeNHNgvK2MOg17CACJi9MW3uUmUhAiR6HF6EaNahBuffgiUzjj7U9NT7P\n\
        mpjmhd5jHcYlOdXLcgZAC5dJcaDw3oJ6yysVSSTj7YvEMffviMO/XGhTLeFn9MBy\n\
        xxGfp4gOSanmkg1K0wQ7QQLh19hAKlkELt/SpY9q9sQtOq/BdUvL\n\
        -----END CERTIFICATE-----\n\
        ";
    pub(crate) const HOST_KEY: &str = "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCj7TM6V0lB8YFoY+twFnpaomnmcsLON1JHFUIo2QpDKuKAhDGlFdbkOQm+QiORxjL2V2RqokPjCrNkj1R1KYAF+ZIE/pYClRYhuhAiEoPBsRepqplHtBnqgBTU2lZhR8ohETHFpTIXeHwxLPMTdDiS1L3q+J+eGMlw+xThyOguEAO3CNI0E1Ka84kL8CA6Eww+Mxd15c53UcApUkGJEejRixMwdoCE2cxZ8x/nC7OqreRDDURq5obHXxbE/1EH8dZ8hc+3k7QHIdbFB91VksiydrUJQ+HyQwZtVfOL4VsbphoV+4eu3J3wGBMQe9RhcOqki6WObaJq+fjPvdaCmPm1AgMBAAECggEAD9T1WSGb/CfweR4JW5J4L6+27aBQyyzRn/bgJGTN1m3aYVIjH1AMKI+PrtXhbI9JVbxcAOZ6Cv/6EnC7VfNzn2Aap6vU3hv6/rfjHf9OxVKut963nhK5XAoRuPr7U7rkvSvVdEK/oz+qMu+l7E+RtTChxQNNGy5Gqkg9nI7USbpvl6DNC2eksx44ChHte+GHAAzuSO8dw0CyZMc6Co1eVg8ojrFjcjEDP0AkGEWYVxY7pjhgNYFzo9FXu2i1yWtNTRHJiv2EGZkwtBke98mJtGZ8SEm50WNRubPUSJBR0I7Zgsmih2WXZjUJafPG+ObFk8EjRRsopGmGb29W03Oo0QKBgQDYqaDHEfNuH12128Ns2FGptUjBmIW3WKOja2BF43eRbtJ9W7e9YtqNhuBVNdb/ASejYPLRzoqNoTo3dZlXJ0Z4Xe6MYu/FwS7dvIjvMo1ASMwcE1+pVtgOVNXDpPOXwXgwQPJj2oRjpay53Dcc4WNibY1Q5LjM37Qv9J777a3LaQKBgQDBsG0sT38yu/pTY4qxpoMqDKtjeuop1MmrhAW6S7yQEq32rxKE8c7Qentj4hjLNAb2OP/guoFCFOUMF+jPOPqH56mKM0AL/v7z4ot3Nd52ekglS6K8SwwJ85eLg/l/SZHfK1ICj84Il16abExIfX6zFgWMnAS5aUqk6/R6AZiubQKBgAopmrL7spFdw0V+c2Itm1b8e9co0kzRSYumw7NDgh4+Nn1OygWGF34/71HP3q/DXBqbt4gDyhfukg57459k5jdLIJ9RHLIH56za5QljM6DqSTif6ALHYgb6D7THje12U67fvP7WBxOtd7aYD7W5FLJPNSuwLsLdU1RUgwiKE3bRAoGBALaP4Jc/Zxke7VfkHzpLRJ5Bytm9ZTGAi4XKrstlz5nMwYQeiEoe0VzX1a3T0qLVqyoxl5zurh7nKu03LA0GG741sSu+GsQz2YNvKR13/POXVqEwpXbtFa/blh++iVBcu82qO2aGvSCD7HuJUG2TO/T48MoT1LAeemjwrkLBdnQRAoGBAKQnQvMJgYJJao6wud1iLyZAAJQt0ySeHsSw3HQAP6Z3/bfWjoY/+yyj29memrZfO/6vHuSF3naBEG7gxpRMW0KHP9Xh+eS2Kr1goF4M+aS0WD+asGvwjvAOLJ3lCahMO6+MmpVkewIseKNP803s7xkWgRCiEF5Mr2nwARDNDHqY";
    pub(crate) const CLIENT_CERTIFICATE_SIGNATURE: &str = "7bf645343bb222a14c1da3c8269c23da4ec359674318db2d4dd1ff93d44b04e200278e89bcf98f6162d11c4a23d70a54bfe0ad0ebd220cfc26bcb267134c391c3ab0c5ca3f21fdf196760169e91acec3f0ed7e1c2afdace691e1f8cc404f85b956cd90c73c864d5587a508bc725a1a0d4ecace498bbb3489429d9adb3cb5807806e19dafd9832434c9a9f097539c4f94fe92483fe3fe08dad6b87c6599b0d05a21899fd8701479d64e6aa7d59d16a57f67ea0c217bb77f14880d897fcc9075419be18ec3d87456769a9bfc36a33ffa72fc25046043d49567cb60e1a8f34b9c58456e0d2cb9ed24240378e0095043a6f0c8c56c833749b134e8c50c64724303bd";
    pub(crate) const HOST_CERTIFICATE_SIGNATURE: &str = "162ac79c386199ee9267a90f1bc0138b68d38e44700ebd291f8ac39a6dbb44f7ba046fa83aacff86d83c50318d1284f796f45c5a7e888afbfe07b25df46e0ad28b0973f19832b01b5842814457a260f14f25e8aef016eb6e72fd9469face6a420f05879878fd25a5c3b95663060fe4576593ae78813cd11b95569156afca1278d1cd82f2b630e835ec2002262f4c5b7b94994840891e8717a11a35a841b9f7e0894ce38fb53d353ecf9a98e685de631dc62539d5cb7206400b974971a0f0de827acb2b154924e3ed8bc431f7ef88c3bf5c68532de167f4c072c7119fa7880e49a9e6920d4ad3043b4102e1d7d8402a59042edfd2a58f6af6c42d3aafc1754bcb";
    pub(crate) const HOST_SIGNATURE: &str = "855cc5a69d42c6651999853109b37cf41b28f21dddf585ae540d3291ddda274126b75422cc412735086f4e5b3798250716537ee121cecd141aa7af44fc8f9603c2021711fa79310b9ff8f63f36f51ef278147889efe7db426163fcd795076d8f2d8ba4b38831067e5d8afd4dfcb1d3bbcf2f34e0f5e572e26490152402309056f6328cd2a17bcb299cec54fe6ed2f38b5cb5149f2346dde7c6e21356581a4298e6ed7ee0d264649890c99ecfa2e5eaa60f71e6b9e43d68322ac7b5119f0798243a9b08099f78d2c5f29bf83a97cc9aab96d624cf3b5e84a59ec6195093bc565ce988c06e96aff6290589301faea3ed7427dbf75d7b9848c61ee873e7b6bc5e07";
    pub(crate) const CLIENT_SIGNATURE: &str = "81a698659ec29261a0af00378854b70fd271afab7477366cca5c4fe8d0cf0d77f466b908ec101e2c9af8d9c5fba69fd1bda45b2019cf66f6aedf96dc0be6798c592f5c2cb53a25b5e7a7a5295b843387de4b50c677c2871076b87c32169fe1c531ce2c65ef651dd913b8908f5e495084d6a275157fc7beecb813fa7888dc194d418c9750ec8a0007221810cded0727ba4703f22c165462bf9af34d7aced53f78a86176da66332b4fb0a63953d7bbca2cbce823b81f3dd32e51a35014c4eb2783a4295bccb076ce6b1cb6cf177aa22f376f8538a9a2ae3f065880bda5adc668c2360c2b3ad4135da1f19e18bed847ba2a5b456fed15ad5bf5752a0235fedaf317";
}

const SALT: [u8; 16] =
    [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];

/// The sixteen bytes from `first` on.
fn counting(first: u8) -> [u8; 16] {
    std::array::from_fn(|i| first + i as u8)
}

fn identity(certificate: &str, key: &str) -> Arc<Identity> {
    let key = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
    let key = parse_x509_pem(key.as_bytes()).unwrap().1.contents;
    Arc::new(Identity::new(certificate.into(), &key).unwrap())
}

fn client_identity() -> Arc<Identity> {
    identity(document::CLIENT_CERTIFICATE, document::CLIENT_KEY)
}

fn host_identity() -> Arc<Identity> {
    identity(document::HOST_CERTIFICATE, document::HOST_KEY)
}

fn client(pin: &str) -> Client {
    let random = Randomness { challenge: counting(0x10), secret: counting(0x20) };
    Client::new(client_identity(), SALT, pin.parse().unwrap(), random)
}

fn host(request: &PairRequest, pin: &str) -> Result<(Host, PairAnswer), Refused> {
    let random = Randomness { challenge: counting(0x40), secret: counting(0x30) };
    Host::new(host_identity(), random, request, pin.parse().unwrap())
}

/// What comes of it if both sides talk to each other.
fn pair(client: &mut Client, pin_at_host: &str) -> (Result<(), Failure>, Option<Accepted>) {
    let (mut host, answer) = host(&client.request().unwrap(), pin_at_host).unwrap();
    let mut result = client.handle(&answer);
    let mut accepted = None;
    while result.is_ok() {
        let Some(request) = client.request() else { break };
        // Stage 5 is TLS's to answer.
        let answer = match request {
            PairRequest::PairChallenge if accepted.is_some() => PairAnswer::Yes,
            _ => {
                let (answer, certificate) = host.handle(&request).unwrap();
                accepted = accepted.or(certificate);
                answer
            }
        };
        result = client.handle(&answer);
    }
    (result, accepted)
}

#[test]
fn salt_and_pin_make_the_documents_keys() {
    for (salt, pin, key) in [
        ("00112233445566778899aabbccddeeff", "1234", "8c8fb15e510c23192b9ecceb9cc163a6"),
        ("a1b2c3d4e5f60718293a4b5c6d7e8f90", "0042", "b162794e43dd7141d0ec217dac935ec3"),
        ("ffffffffffffffffffffffffffffffff", "9999", "93a155d4fca5622d7279d95d89860ec2"),
    ] {
        let salt = hex::decode_array(salt).unwrap();
        let key = UnboundCipherKey::new(&AES_128, &bytes(key)).unwrap();
        let mut expected = [7; 16];
        EncryptingKey::ecb(key).unwrap().encrypt(&mut expected).unwrap();
        assert_eq!(PinCipher::new(&salt, &pin.parse().unwrap()).encrypt([7; 16]), expected);
    }
}

#[test]
fn the_documents_certificates_are_read() {
    let (client, host) = (client_identity(), host_identity());
    let certificate = client.certificate();
    assert_eq!(certificate.signature(), bytes(document::CLIENT_CERTIFICATE_SIGNATURE));
    assert_eq!(host.certificate().signature(), bytes(document::HOST_CERTIFICATE_SIGNATURE));
    let digest = |der: &[u8]| hex::lower(&hash([der]));
    assert_eq!(digest(certificate.der()), "7dd167e2cc65b82d51bb21cb6b25b05a0bd282a839e358ce46d7606750c6ef3d");
    assert_eq!(
        digest(host.certificate().der()),
        "1a179a957f4d0de6c2dcb7b54a39c86f105f9dd0a6f41c529ce140ada5447810"
    );
    assert_eq!(Certificate::from_der(certificate.der().to_vec()).as_ref(), Ok(certificate));
}

#[test]
fn both_sides_say_what_stands_in_the_documents_transcript() {
    let mut client = client("1234");
    let request = client.request().unwrap();
    let (mut host, answer) = host(&request, "1234").unwrap();
    assert_eq!(answer, PairAnswer::ServerCertificate(document::HOST_CERTIFICATE.into()));
    client.handle(&answer).unwrap();

    let mut expect = |request: PairRequest, expected: PairAnswer| {
        assert!(client.request().unwrap() == request, "{request:?}");
        let (answer, accepted) = host.handle(&request).unwrap();
        assert!(answer == expected, "{answer:?}");
        client.handle(&answer).unwrap();
        accepted
    };
    let challenge = hex::decode_array("809b0b98e5f40937f54fa78dc7b1f83c").unwrap();
    let response =
        "5be967909ac24bdb22a745fa158bc1e0c1ac5dec76fe1a21a89bdd8713930d6974ca34a3cdc007841885f698936284da";
    let response = hex::decode_array(response).unwrap();
    assert_eq!(
        expect(PairRequest::ClientChallenge(challenge), PairAnswer::ChallengeResponse(response)),
        None
    );
    let hash = hex::decode_array("e574a55b3963f36c62e7337da4848396eba73a552f8230de2aeb9c46f1f24a87").unwrap();
    let secret = SignedSecret { secret: counting(0x30), signature: bytes(document::HOST_SIGNATURE) };
    assert_eq!(expect(PairRequest::ServerChallengeResponse(hash), PairAnswer::ServerSecret(secret)), None);
    let secret = SignedSecret { secret: counting(0x20), signature: bytes(document::CLIENT_SIGNATURE) };
    let accepted = expect(PairRequest::ClientSecret(secret), PairAnswer::Yes);
    assert_eq!(
        accepted.as_ref().map(|Accepted(certificate)| certificate),
        Some(client_identity().certificate())
    );

    assert_eq!(client.paired(), None, "the host has not yet shown that it takes the certificate");
    assert!(client.request().unwrap() == PairRequest::PairChallenge);
    client.handle(&PairAnswer::Yes).unwrap();
    assert_eq!(client.paired(), Some(host_identity().certificate()));
    assert!(client.request().is_none() && client.cleanup().is_none());
}

#[test]
fn the_same_pin_pairs_and_another_does_not() {
    let mut same = client("0042");
    let (result, accepted) = pair(&mut same, "0042");
    assert_eq!(result, Ok(()));
    assert_eq!(accepted.unwrap().0, *client_identity().certificate());
    assert_eq!(same.paired(), Some(host_identity().certificate()));

    let mut other = client("0042");
    let (result, accepted) = pair(&mut other, "0043");
    assert_eq!((result, accepted), (Err(Failure::WrongPin), None));
    assert_eq!(other.paired(), None);
    assert!(other.request().is_none());
    assert!(other.cleanup().is_some(), "the host still waits for the client's secret");
}

#[test]
fn a_client_that_does_not_know_the_pin_is_not_accepted() {
    let honest = client("1234");
    let (mut host, _) = host(&honest.request().unwrap(), "1234").unwrap();
    let mut random = counting(0x20);
    let guess = PinCipher::new(&SALT, &"4321".parse().unwrap());
    host.handle(&PairRequest::ClientChallenge(guess.encrypt(random))).unwrap();
    random[0] ^= 1;
    let hash = guess.encrypt(hash([&random]));
    host.handle(&PairRequest::ServerChallengeResponse(hash)).unwrap();
    let secret = client_identity().sign(counting(0x20));
    assert_eq!(host.handle(&PairRequest::ClientSecret(secret)), Ok((PairAnswer::No, None)));
}

#[test]
fn a_host_takes_each_request_in_its_turn_once() {
    let first = client("1234").request().unwrap();
    let (mut waiting, _) = host(&first, "1234").unwrap();
    assert_eq!(waiting.handle(&first).map(|_| ()), Err(Refused));
    assert_eq!(waiting.handle(&PairRequest::ClientChallenge([0; 16])).map(|_| ()), Err(Refused));
    assert_eq!(host(&PairRequest::PairChallenge, "1234").map(|_| ()).unwrap_err(), Refused);
}

#[test]
fn a_secret_that_the_host_did_not_sign_ends_it() {
    let mut client = client("1234");
    let (mut host, answer) = host(&client.request().unwrap(), "1234").unwrap();
    client.handle(&answer).unwrap();
    let (answer, _) = host.handle(&client.request().unwrap()).unwrap();
    client.handle(&answer).unwrap();
    let (answer, _) = host.handle(&client.request().unwrap()).unwrap();
    let PairAnswer::ServerSecret(mut signed) = answer else { panic!("it is the secret") };
    signed.signature[9] ^= 1;
    assert_eq!(client.handle(&PairAnswer::ServerSecret(signed)), Err(Failure::Signature));
}

#[test]
fn answers_that_are_none_to_the_request_end_it() {
    let first = |answer| {
        let mut client = client("1234");
        let result = client.handle(&answer);
        assert!(client.request().is_none() && client.paired().is_none());
        (result.unwrap_err(), client.cleanup().is_some())
    };
    assert_eq!(first(PairAnswer::No), (Failure::Refused, false));
    assert_eq!(first(PairAnswer::Yes), (Failure::Busy, true));
    assert_eq!(first(PairAnswer::ChallengeResponse([0; 48])), (Failure::Unexpected, true));
    let noise = PairAnswer::ServerCertificate(b"noise".to_vec());
    assert_eq!(first(noise), (Failure::Certificate(Unusable::Pem), true));

    let mut aborted = client("1234");
    aborted.abort();
    assert!(aborted.cleanup().is_none(), "the host has not begun");
    let mut aborted = client("1234");
    let (_, answer) = host(&aborted.request().unwrap(), "1234").unwrap();
    aborted.handle(&answer).unwrap();
    aborted.abort();
    assert!(aborted.cleanup().is_some());
}

#[test]
fn certificates_and_keys_that_are_none_are_refused() {
    let check = |pem: &[u8]| Certificate::from_pem(pem).unwrap_err();
    assert_eq!(check(b""), Unusable::Pem);
    assert_eq!(check(&[0; 4097]), Unusable::Long { got: 4097 });
    assert_eq!(
        check(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        Unusable::Certificate
    );
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", document::HOST_KEY);
    assert_eq!(check(key.as_bytes()), Unusable::Pem);
    let key = parse_x509_pem(key.as_bytes()).unwrap().1.contents;
    let stranger = Identity::new(document::CLIENT_CERTIFICATE.into(), &key).map(|_| ());
    assert_eq!(stranger, Err(Unusable::Stranger));
    let broken = Identity::new(document::CLIENT_CERTIFICATE.into(), &key[1..]).map(|_| ());
    assert_eq!(broken, Err(Unusable::Key));
    for text in ["", "123", "12345", "12a4", "１２３４"] {
        assert_eq!(text.parse::<Pin>(), Err(NotAPin), "{text}");
    }
}

#[test]
fn nothing_secret_is_printed() {
    let random = Randomness { challenge: [171; 16], secret: [171; 16] };
    let client = Client::new(client_identity(), [1; 16], "9876".parse().unwrap(), random);
    let printed = format!("{client:?}");
    assert!(printed.contains("Pin(…)") && printed.contains("Randomness(…)"), "{printed}");
    assert!(!printed.contains("9876") && !printed.contains("171"), "{printed}");
}

/// What a recorded pairing says, in the clear.
struct Transcript {
    salt: [u8; 16],
    host_certificate: Vec<u8>,
    client_challenge: [u8; 16],
    challenge_response: [u8; 48],
    server_challenge_response: [u8; 32],
    server_secret: SignedSecret,
    client_secret: SignedSecret,
    accepted: bool,
}

impl Transcript {
    fn read(exchanges: &[Exchange], client_certificate: &[u8]) -> Self {
        let pairing: Vec<(PairRequest, PairAnswer)> = exchanges
            .iter()
            .filter_map(|exchange| match Call::parse(&exchange.target).unwrap() {
                (_, Call::Pair(request)) => {
                    let answer = exchange.answer.as_ref().unwrap();
                    let parsed = PairAnswer::parse(answer).unwrap();
                    let mut built = String::new();
                    parsed.emit(&mut built);
                    assert_eq!(built.as_bytes(), answer, "{request:?}");
                    Some((request, parsed))
                }
                _ => None,
            })
            .collect();
        let [
            (
                PairRequest::ServerCertificate { salt, client_certificate: sent },
                PairAnswer::ServerCertificate(host),
            ),
            (
                PairRequest::ClientChallenge(client_challenge),
                PairAnswer::ChallengeResponse(challenge_response),
            ),
            (PairRequest::ServerChallengeResponse(hash), PairAnswer::ServerSecret(server_secret)),
            (PairRequest::ClientSecret(client_secret), last),
            rest @ ..,
        ] = &pairing[..]
        else {
            panic!("the five stages in their order")
        };
        assert_eq!(sent, client_certificate);
        let accepted = *last == PairAnswer::Yes;
        match rest {
            [] => assert!(!accepted),
            [(PairRequest::PairChallenge, PairAnswer::Yes)] => assert!(accepted),
            _ => panic!("nothing else follows"),
        }
        Self {
            salt: *salt,
            host_certificate: host.clone(),
            client_challenge: *client_challenge,
            challenge_response: *challenge_response,
            server_challenge_response: *hash,
            server_secret: server_secret.clone(),
            client_secret: client_secret.clone(),
            accepted,
        }
    }

    /// The only PIN for which what the client sent fits together.
    fn pin_of_client(&self, client: &Certificate) -> Pin {
        only_pin(|pin| {
            let cipher = PinCipher::new(&self.salt, pin);
            let host_challenge = &cipher.decrypt(self.challenge_response)[32..];
            let hash = hash([host_challenge, client.signature(), &self.client_secret.secret]);
            cipher.encrypt(hash) == self.server_challenge_response
        })
    }

    /// The only PIN for which what the host sent fits together.
    fn pin_of_host(&self, host: &Certificate) -> Pin {
        only_pin(|pin| {
            let cipher = PinCipher::new(&self.salt, pin);
            let challenge = cipher.decrypt(self.client_challenge);
            let hash = hash([&challenge, host.signature(), &self.server_secret.secret]);
            cipher.decrypt(self.challenge_response)[..32] == hash
        })
    }
}

fn only_pin(fits: impl Fn(&Pin) -> bool) -> Pin {
    let pins = (0..10_000).map(|number| format!("{number:04}").parse().unwrap());
    let fitting: Vec<Pin> = pins.filter(|pin| fits(pin)).collect();
    let [pin] = &fitting[..] else { panic!("{} PINs fit", fitting.len()) };
    pin.clone()
}

fn recorded_identity(folder: &Path) -> Arc<Identity> {
    let key = fs::read(folder.join("client-key.pem")).unwrap();
    let key = parse_x509_pem(&key).unwrap().1.contents;
    Arc::new(Identity::new(fs::read(folder.join("client-cert.pem")).unwrap(), &key).unwrap())
}

/// With the choices that the transcript betrays, both sides say what was recorded.
fn check(name: &str, file: &str, right_pin: bool) {
    let Some(folder) = recording(name) else { return };
    let identity = recorded_identity(&folder);
    let transcript = Transcript::read(&exchanges(&folder.join(file)), identity.pem());
    let host = Certificate::from_pem(&transcript.host_certificate).unwrap();
    assert_eq!(host, Certificate::from_pem(&fs::read(folder.join("host-cert.pem")).unwrap()).unwrap());

    let pin = transcript.pin_of_client(identity.certificate());
    let pin_at_host = transcript.pin_of_host(&host);
    assert_eq!(pin == pin_at_host, right_pin);
    assert_eq!(transcript.accepted, right_pin);
    let random = Randomness {
        challenge: PinCipher::new(&transcript.salt, &pin).decrypt(transcript.client_challenge),
        secret: transcript.client_secret.secret,
    };
    let mut client = Client::new(identity.clone(), transcript.salt, pin, random);
    let step = |client: &mut Client, sent: PairRequest, answer: PairAnswer| {
        assert!(client.request() == Some(sent.clone()), "{sent:?}");
        client.handle(&answer)
    };
    let sent =
        PairRequest::ServerCertificate { salt: transcript.salt, client_certificate: identity.pem().to_vec() };
    let answer = PairAnswer::ServerCertificate(transcript.host_certificate.clone());
    step(&mut client, sent, answer).unwrap();
    let sent = PairRequest::ClientChallenge(transcript.client_challenge);
    step(&mut client, sent, PairAnswer::ChallengeResponse(transcript.challenge_response)).unwrap();
    let sent = PairRequest::ServerChallengeResponse(transcript.server_challenge_response);
    let result = step(&mut client, sent, PairAnswer::ServerSecret(transcript.server_secret.clone()));
    // The signature does not depend on the PIN.
    assert!(identity.sign(transcript.client_secret.secret) == transcript.client_secret);
    if right_pin {
        assert_eq!(result, Ok(()));
        step(&mut client, PairRequest::ClientSecret(transcript.client_secret), PairAnswer::Yes).unwrap();
        step(&mut client, PairRequest::PairChallenge, PairAnswer::Yes).unwrap();
        assert_eq!(client.paired(), Some(&host));
    } else {
        // The reference client went on and was refused.
        assert_eq!(result, Err(Failure::WrongPin));
        assert!(client.cleanup().is_some());
    }
}

macro_rules! recordings {
    ($($test:ident: $folder:literal, $file:literal, $right_pin:literal;)*) => {
        $(#[test]
        fn $test() {
            check($folder, $file, $right_pin);
        })*
    };
}

recordings! {
    v0_23_with_the_right_pin: "v0.23-pairing", "rightpin.http.txt", true;
    v0_23_with_a_wrong_pin: "v0.23-pairing", "wrongpin.http.txt", false;
    v2025_with_the_right_pin: "v2025-pairing", "rightpin.http.txt", true;
    v2025_with_a_wrong_pin: "v2025-pairing", "wrongpin.http.txt", false;
    wolf_with_the_right_pin: "wolf-pairing", "rightpin.http.txt", true;
    wolf_with_a_wrong_pin: "wolf-pairing", "wrongpin.http.txt", false;
}

proptest! {
    #[test]
    fn any_bytes_are_a_certificate_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..700) {
        let _ = (Certificate::from_pem(&bytes), Certificate::from_der(bytes.clone()));
        let mut der = host_identity().certificate().der().to_vec();
        let at = at.min(der.len() - bytes.len().min(der.len()));
        for (byte, value) in der[at..].iter_mut().zip(&bytes) {
            *byte = *value;
        }
        let _ = Certificate::from_der(der);
    }
}
