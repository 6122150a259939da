import Flags
import JSON
import Testing

@Suite struct `Hashing` {
  @Test(arguments: [
    ("", 0x0000_0000 as UInt32, 0x276e_becf as UInt32), ("a", 0x3c25_69b2, 0x3710_91a9),
    ("ab", 0x9bbf_d75f, 0xfa8a_23b0),
    ("abc", 0xb3dd_93fa, 0x6511_2e04), ("abcd", 0x43ed_676a, 0x2713_1220), ("hello", 0x248b_fa47, 0xff35_35a2),
    ("The quick brown fox jumps over the lazy dog", 0x2e4f_f723, 0x00d1_3b37),
  ])
  func `MurmurHash3 of text and of CBOR`(_ text: String, _ plain: UInt32, _ cbor: UInt32) {
    var hash = MurmurHash3()
    hash.append(text)
    #expect(hash.value == plain)
    var encoded = MurmurHash3()
    DeterministicCBOR.encode(text, into: &encoded)
    #expect(encoded.value == cbor)
  }

  @Test(arguments: [
    ("ejOoVL", 0 as UInt32), ("bY9fO-", 1), ("SI7p-", 0x7fff_ffff), ("6LvT0", 0x8000_0000), ("ceQdGm", 0xffff_ffff),
  ])
  func `keys at the edges of the hash`(_ key: String, _ expected: UInt32) {
    var hash = MurmurHash3()
    hash.append(key)
    #expect(hash.value == expected)
  }

  /// FIPS 180-4 examples, and the lengths around a block's end.
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    (String(repeating: "a", count: 55), "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"),
    (String(repeating: "a", count: 63), "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"),
    (String(repeating: "a", count: 64), "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"),
    (String(repeating: "a", count: 119), "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb"),
    (String(repeating: "a", count: 120), "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c"),
    (String(repeating: "a", count: 1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
  ])
  func `SHA-256 meets the published vectors`(_ text: String, _ digest: String) {
    #expect(SHA256.hexadecimal([UInt8](text.utf8)) == digest)
  }

  @Test(arguments: [
    (#"0"#, "00"), ("23", "17"), ("24", "1818"), ("255", "18ff"), ("256", "190100"), ("65536", "1a00010000"),
    ("4294967296", "1b0000000100000000"), ("-1", "20"), ("-24", "37"), ("-25", "3818"), ("1.0", "01"),
    ("1.5", "f93e00"),
    ("65504.5", "fa477fe080"),
    ("1.1", "fb3ff199999999999a"), ("1e20", "fb4415af1d78b58c40"), ("true", "f5"), ("null", "f6"),
    (#"{"b":1,"aa":2,"":3}"#, "a36003616201626161" + "02"), (#"["a",[]]"#, "82616180"),
  ])
  func `CBOR is the shortest`(_ json: String, _ expected: String) throws {
    var bytes: [UInt8] = []
    DeterministicCBOR.encode(try JSONValue(parsing: json), into: &bytes)
    #expect(bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() == expected)
  }
}

@Suite struct `Semantic versions` {
  @Test func `the standard's own order holds`() throws {
    let order = [
      "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
      "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0", "99999999999999999999999.0.0",
    ]
    let versions = try order.map { try #require(SemanticVersion($0)) }
    for (i, left) in versions.enumerated() {
      for (j, right) in versions.enumerated() {
        #expect((left < right) == (i < j) && (left == right) == (i == j), "\(left) and \(right)")
      }
    }
    #expect(SemanticVersion("1.0.0+a") == SemanticVersion("1.0.0+b"))
  }

  @Test(arguments: [
    "", "1", "1.2", "v1.2.3", "1.2.3.4", "01.2.3", "1.02.3", "1.2.3-", "1.2.3-01", "1.2.3-a..b", "1.2.3+", " 1.2.3",
    "1.2.3 ",
    "1.2.3-é", "-1.2.3", "1.2.x", "1..3",
  ])
  func `what is no full version is refused`(_ text: String) {
    #expect(SemanticVersion(text) == nil)
  }

  @Test(arguments: [("v1", "1.0.0"), ("V1.2", "1.2.0"), ("1.2.3-rc.1+b", "1.2.3-rc.1"), ("0", "0.0.0")])
  func `flagd's form fills up with zeros`(_ text: String, _ full: String) throws {
    #expect(try #require(SemanticVersion(text, form: .flagd)) == #require(SemanticVersion(full)))
  }

  @Test(arguments: ["vv1.0.0", "1-alpha", "1.0-alpha", "1.0+b", "1.", "v", "1.2.3.4"])
  func `flagd's form has its limits`(_ text: String) {
    #expect(SemanticVersion(text, form: .flagd) == nil)
  }
}
