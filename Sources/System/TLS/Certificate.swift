import COpenSSL
import Glibc

/// What is read from certificates.
enum Certificate {
  /// The names of hosts that it is good for (RFC 6125), in lower case.
  @unsafe
  static func names(of certificate: OpaquePointer?) -> Set<String> {
    guard let found = unsafe X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) else { return [] }
    let list = OpaquePointer(found)
    defer { unsafe GENERAL_NAMES_free(list) }
    var names: Set<String> = []
    let count = unsafe OPENSSL_sk_num(list)
    for index in 0..<max(0, count) {
      guard let name = unsafe OPENSSL_sk_value(list, index)?.assumingMemoryBound(to: GENERAL_NAME.self) else {
        continue
      }
      var kind: Int32 = 0
      guard let value = unsafe GENERAL_NAME_get0_value(name, &kind), kind == GEN_DNS else { continue }
      let text = unsafe value.assumingMemoryBound(to: ASN1_STRING.self)
      let bytes = unsafe UnsafeBufferPointer(start: ASN1_STRING_get0_data(text), count: Int(ASN1_STRING_length(text)))
      names.insert(unsafe String(decoding: bytes, as: UTF8.self).lowercased())
    }
    return names
  }

  /// The first name in `subjectAltName` that is a URI, a host or a mail address, with its kind before it; empty when there
  /// is none, or when it holds anything but printable ASCII.
  @unsafe
  static func firstName(of certificate: OpaquePointer?) -> String {
    guard let found = unsafe X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) else { return "" }
    let list = OpaquePointer(found)
    defer { unsafe GENERAL_NAMES_free(list) }
    for index in 0..<max(0, unsafe OPENSSL_sk_num(list)) {
      guard let name = unsafe OPENSSL_sk_value(list, index)?.assumingMemoryBound(to: GENERAL_NAME.self) else {
        continue
      }
      var kind: Int32 = 0
      guard let value = unsafe GENERAL_NAME_get0_value(name, &kind), let word = word(for: kind) else { continue }
      let text = unsafe value.assumingMemoryBound(to: ASN1_STRING.self)
      let bytes = unsafe UnsafeBufferPointer(start: ASN1_STRING_get0_data(text), count: Int(ASN1_STRING_length(text)))
      guard unsafe bytes.allSatisfy({ (0x21...0x7E).contains($0) }) else { return "" }
      return unsafe word + String(decoding: bytes, as: UTF8.self)
    }
    return ""
  }

  private static func word(for kind: Int32) -> String? {
    switch kind {
    case GEN_URI: "URI:"
    case GEN_DNS: "DNS:"
    case GEN_EMAIL: "email:"
    default: nil
    }
  }

  /// The subject as RFC 4514 writes it, other bytes than those of ASCII escaped.
  @unsafe
  static func subject(of certificate: OpaquePointer?) -> String {
    guard let bio = unsafe BIO_new(BIO_s_mem()) else { return "" }
    defer { unsafe BIO_free(bio) }
    let name = unsafe X509_get_subject_name(certificate)
    guard unsafe X509_NAME_print_ex(bio, name, 0, fermata_tls_name_format) >= 0 else { return "" }
    var text = [UInt8](repeating: 0, count: 4096)
    let count = unsafe BIO_read(bio, &text, Int32(text.count))
    // A longer one is no name to go by: its beginning might be another's.
    guard count > 0, Int(count) < text.count else { return "" }
    return String(decoding: text.prefix(Int(count)), as: UTF8.self)
  }

  /// The certificate as it was sent (DER); empty when there is no memory for it.
  @unsafe
  static func encoded(_ certificate: OpaquePointer?) -> [UInt8] {
    var start: UnsafeMutablePointer<UInt8>?
    let count = unsafe i2d_X509(certificate, &start)
    guard count > 0, let start = unsafe start else { return [] }
    defer { unsafe CRYPTO_free(start, #file, #line) }
    return unsafe Array(UnsafeBufferPointer(start: start, count: Int(count)))
  }

  /// When it expires, in seconds since 1970; 0 when that can't be told.
  @unsafe
  static func expiry(of certificate: OpaquePointer?) -> Int64 {
    var time = unsafe tm()
    guard let end = unsafe X509_get0_notAfter(certificate), unsafe ASN1_TIME_to_tm(end, &time) == 1 else { return 0 }
    return unsafe Int64(timegm(&time))
  }

  /// SHA-256 of the whole certificate.
  @unsafe
  static func digest(of certificate: OpaquePointer?) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var length: UInt32 = 0
    _ = unsafe X509_digest(certificate, EVP_sha256(), &digest, &length)
    return Array(digest.prefix(Int(length)))
  }

  /// The digests of all certificates in a PEM file.
  @unsafe
  static func digests(in file: String) -> [UInt8] {
    guard let bio = unsafe BIO_new_file(file, "r") else { return [] }
    defer { unsafe BIO_free(bio) }
    var digests: [UInt8] = []
    while let certificate = unsafe PEM_read_bio_X509(bio, nil, nil, nil) {
      digests += unsafe digest(of: certificate)
      unsafe X509_free(certificate)
    }
    // The end of the file is an error of its own.
    ErrorQueue.clear()
    return digests
  }

  /// SHA-256 of `bytes`.
  static func digest(of bytes: [UInt8]) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var length: UInt32 = 0
    _ = unsafe EVP_Digest(bytes, bytes.count, &digest, &length, EVP_sha256(), nil)
    return Array(digest.prefix(Int(length)))
  }
}
