import JSON
package import Loop
package import TLS
package import Time

// Where clients connect.
extension Configuration {
  /// Where clients connect first of all.
  package var listen: SocketAddress { main.address }
  /// How clients at `listen` are served over TLS; `nil`: plain HTTP.
  package var tls: ListenerTLS? { main.tls }

  /// All places where clients connect; `listen` is the first.
  package var places: [ListenerSettings] { [main] + listeners }

  mutating func readListeners(_ reader: JSONReader) {
    listeners = reader.nestedArray("listeners").map { inner in
      inner.require("address")
      return ListenerSettings(inner, address: "address", or: .loopback(port: 0))
    }
    for (index, listener) in listeners.enumerated() {
      let taken =
        [("listen", listen), ("admin.listen", admin.listen)]
        + listeners[..<index].enumerated().map { ("listeners[\($0)]", $1.address) }
      for (name, address) in taken where listener.address.overlaps(address) {
        reader.fault(
          at: "listeners[\(index)].address",
          "\(listener.address) and \"\(name)\", \(address), are the same place; choose another")
      }
    }
  }

  /// Whoever may send a header says who the client is: nobody but those who are trusted may, whose addresses must be known.
  func checkProxyProtocol(_ reader: JSONReader) {
    guard trustedProxies.isEmpty else { return }
    for (index, place) in places.enumerated() where place.proxyProtocol != .off && !place.address.isUnix {
      reader.fault(
        at: index == 0 ? "proxyProtocol" : "listeners[\(index - 1)].proxyProtocol",
        "needs \"trustedProxies\": the addresses of those who send such headers")
    }
  }

  /// Keeps what only a restart can change of the listeners of `old`: how many there are, where, and which have TLS.
  ///
  /// - Returns: what was wanted and is not in force.
  mutating func keepListeners(of old: Configuration) -> [RestartNeed] {
    var needs: [RestartNeed] = []
    main.address = old.main.address
    main.socketMode = old.main.socketMode
    if (tls == nil) != (old.tls == nil) {
      needs.append(
        RestartNeed(path: "tls", inForce: old.tls?.document ?? .null, configured: tls?.document ?? .null))
      main.tls = old.tls
      main.redirect = old.main.redirect
    }
    func shape(_ configuration: Configuration) -> [String] {
      configuration.listeners.map { "\($0.address) \($0.socketMode.text) \($0.tls != nil)" }
    }
    if shape(self) != shape(old) {
      needs.append(
        RestartNeed(
          path: "listeners", inForce: .array(old.listeners.map(\.document)),
          configured: .array(listeners.map(\.document))))
      listeners = old.listeners
    }
    return needs
  }
}

// The certificates that they are shown.
extension Configuration {
  /// The certificates of all listeners, with what is left of their time at `now`, in seconds; negative when it is over.
  package func certificates(at now: WallTime) -> [(file: String, seconds: Int64)] {
    // Listeners may share a file.
    var seen: Set<String> = []
    return places.compactMap(\.tls).flatMap(\.context.expiries).filter { seen.insert($0.certificate).inserted }
      .map { ($0.certificate, $0.at - now.milliseconds / 1000) }
  }

  /// A sentence for each certificate that expires within 14 days, or has.
  package func certificateWarnings(at now: WallTime) -> [String] {
    certificates(at: now).compactMap { file, seconds in
      if seconds <= 0 { return "the certificate in \(file) has expired" }
      return seconds < 14 * 86_400 ? "the certificate in \(file) expires in \(seconds / 86_400) days" : nil
    }
  }

  package var certificateFiles: [String] { places.compactMap(\.tls).flatMap(\.files) }

  /// - Throws: when a file can't be used; then nothing is changed.
  package mutating func rereadCertificates() throws(TLSError) {
    let own = try main.tls?.rereadingFiles()
    var others = listeners
    for index in others.indices { others[index].tls = try others[index].tls?.rereadingFiles() }
    (main.tls, listeners) = (own, others)
  }
}
