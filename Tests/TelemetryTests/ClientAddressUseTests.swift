import Telemetry
import Testing

/// What the log says of clients' addresses.
struct ClientAddressUseTests {
  @Test(
    arguments: [
      ("192.0.2.77", "192.0.2.0/24"), ("2001:db8:12:34::1", "2001:db8:12::/48"), ("2001:db8::1", "2001:db8:0::/48"),
      ("::1", "0:0:0::/48"), ("fe80:1:2:3:4:5:6:7", "fe80:1:2::/48"), ("unknown", ""), ("1.2.3", ""), ("1.2.3.999", ""),
      ("1:2:3", ""), ("x::1", ""), ("", ""), ("unix", "unix"),
    ])
  func `a prefix is the network alone`(address: String, wanted: String) {
    #expect(ClientAddressUse.prefix.text(of: address) == wanted)
  }

  @Test func `full is the address unless it could break a line, none is nothing`() {
    #expect(ClientAddressUse.full.text(of: "192.0.2.77") == "192.0.2.77")
    #expect(ClientAddressUse.full.text(of: "a\"b") == "" && ClientAddressUse.full.text(of: "a\nb") == "")
    #expect(ClientAddressUse.none.text(of: "192.0.2.77") == "")
  }
}
