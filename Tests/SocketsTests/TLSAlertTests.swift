import Sockets
import Testing

@Suite struct `TLS alerts` {
  @Test func `those about what was shown in the handshake refuse it, all others leave open what was done`() {
    let refusals = (UInt8.min...UInt8.max).filter { TLSAlert(rawValue: $0).refusesIdentity }
    #expect(refusals == [40, 41, 42, 43, 44, 45, 46, 48, 49, 51, 115, 116])
  }

  @Test func `each is told by its number, and by its name where it has one here`() {
    #expect(TLSAlert.certificateRequired.description == "alert 116, certificate_required")
    #expect(TLSAlert.internalError.description == "alert 80, internal_error")
    #expect(TLSAlert(rawValue: 20).description == "alert 20")
    #expect(SocketError.alert(.unknownCA).description == "TLS: ended by the peer with alert 48, unknown_ca")
    #expect(
      (UInt8.min...UInt8.max).allSatisfy { number in
        let alert = TLSAlert(rawValue: number)
        return !alert.refusesIdentity || alert.description.contains("_")
      })
  }
}
