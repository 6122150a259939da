package import Bytes

/// Writes received heads anew for the other side (RFC 9110 7.6). Nothing is passed on that was not parsed: the start
/// line, the body's framing and every field are written from what they were understood to be.
package enum Forwarding {
  /// Appends the head of `head`'s request for an upstream.
  ///
  /// - Parameter client: who asked. `nil` writes no `X-Forwarded-*`, and passes none.
  package static func writeRequest(
    _ head: borrowing RequestHead, from client: ForwardedClient?, as rules: borrowing ForwardingRules,
    into buffer: inout ByteBuffer
  ) {
    buffer.reserve(head.fields.bytes.count + 256)
    writeRequestLine(head, rules, into: &buffer)
    writeHost(head, rules, into: &buffer)
    writeRequestFields(head, from: client, as: rules, into: &buffer)
    if let client { writeForwarded(head, client, as: rules, into: &buffer) }
    rules.overrides.write(into: &buffer)
    if !rules.dropped.contains(.via) {
      writeVia(head.version, into: &buffer)
      buffer.append(rules.via.bytes)
      buffer.append("\r\n")
    }
    head.framing.writeFields(into: &buffer)
    buffer.append("\r\n")
  }

  /// Makes `draft` the head of an upstream's response for the client.
  ///
  /// A declared length is kept for a body that is not sent, so that answers to HEAD and 304 tell it; never in 204 (RFC
  /// 9110, 8.6).
  package static func draftResponse(
    _ head: borrowing ResponseHead, as rules: borrowing ResponseRules, into draft: inout ResponseDraft
  ) {
    draft.begin(status: head.status, reason: head.reason)
    draft.reserve(head.fields.bytes.count + 256)
    appendResponseFields(head, as: rules, to: &draft)
    draft.append(rules.overrides)
    draft.append("Via") { value in
      value.append(head.version.viaToken)
      value.append(" fermata")
    }
    // Neither has a body, nor may it say so (RFC 9110, 8.6).
    guard head.status >= 200, head.status != 204, case .length(let length) = head.declaredFraming else { return }
    draft.unsentLength = length
  }

  /// Appends `Via` but for the name of the recipient and the line's end.
  private static func writeVia(_ version: HTTPVersion, into buffer: inout ByteBuffer) {
    buffer.append("Via: ")
    buffer.append(version.viaToken)
    buffer.append(.space)
  }
}

// MARK: - Parts of a request

extension Forwarding {
  private static func writeRequestLine(
    _ head: borrowing RequestHead, _ rules: borrowing ForwardingRules, into buffer: inout ByteBuffer
  ) {
    buffer.append(head.method.name)
    buffer.append(.space)
    if head.path[0] == UInt8(ascii: "/") { buffer.append(rules.basePath) }
    buffer.append(head.path)
    if let query = head.query {
      if rules.strippedParameters.isEmpty || !QueryString.contains(anyOf: rules.strippedParameters, in: query) {
        buffer.append(UInt8(ascii: "?"))
        buffer.append(query)
      } else {
        buffer.append(UInt8(ascii: "?"))
        let isLeft = QueryString.write(query, removing: rules.strippedParameters, into: &buffer)
        if !isLeft { buffer.truncate(to: buffer.count - 1) }
      }
    }
    buffer.append(" HTTP/1.1\r\n")
  }

  private static func writeHost(
    _ head: borrowing RequestHead, _ rules: borrowing ForwardingRules, into buffer: inout ByteBuffer
  ) {
    buffer.append("Host: ")
    if case .preserve = rules.host, let host = head.host {
      buffer.append(host)
    } else {
      buffer.append(rules.upstreamAuthority.bytes)
    }
    buffer.append("\r\n")
  }

  private static func writeRequestFields(
    _ head: borrowing RequestHead, from client: ForwardedClient?, as rules: borrowing ForwardingRules,
    into buffer: inout ByteBuffer
  ) {
    var dropped = rules.dropped.union(rules.overrides.present)
    dropped.insert(.host)
    // The gateway answers it.
    dropped.insert(.expect)
    dropped = dropped.union(FieldFilter.clientCertificate)
    if let client, client.isTrusted {
      // Written anew with the peer's own address.
      dropped.insert(.xForwardedFor)
    } else {
      dropped = dropped.union(FieldFilter.clientIdentity)
    }
    let checksOthers = !rules.droppedNames.isEmpty || rules.overrides.hasOtherNames
    let filter = FieldFilter(dropped: dropped, connection: head.connection, checksOthers: checksOthers)
    filter.forEachPassing(head.fields) { name in
      rules.drops(name) || (head.connection.nominatesOthers && head.fields.nominates(name))
    } body: {
      head.fields.write(at: $0, into: &buffer)
    }
  }

  /// A trusted peer's word about the client is kept and its own address added; anyone else's is replaced. What the rules
  /// drop or set themselves is not written.
  private static func writeForwarded(
    _ head: borrowing RequestHead, _ client: ForwardedClient, as rules: borrowing ForwardingRules,
    into buffer: inout ByteBuffer
  ) {
    let decided = rules.dropped.union(rules.overrides.present)
    if let certificate = head.certificate { writeCertificate(certificate, decided, into: &buffer) }
    if !decided.contains(.xForwardedFor) { writeForwardedFor(head, client, into: &buffer) }
    if !decided.contains(.xForwardedProto), !client.isTrusted || !head.fields.contains(.xForwardedProto) {
      buffer.append(client.isSecure ? "X-Forwarded-Proto: https\r\n" : "X-Forwarded-Proto: http\r\n")
    }
    guard !decided.contains(.xForwardedHost), !client.isTrusted || !head.fields.contains(.xForwardedHost),
      let host = head.host
    else { return }
    buffer.append("X-Forwarded-Host: ")
    buffer.append(host)
    buffer.append("\r\n")
  }

  private static func writeCertificate(
    _ certificate: ClientCertificate, _ decided: KnownFieldSet, into buffer: inout ByteBuffer
  ) {
    if !decided.contains(.clientCert) {
      buffer.append("Client-Cert: ")
      buffer.append(certificate.field.bytes)
      buffer.append("\r\n")
    }
    guard !decided.contains(.clientCertChain), let chain = certificate.chainField else { return }
    buffer.append("Client-Cert-Chain: ")
    buffer.append(chain.bytes)
    buffer.append("\r\n")
  }

  private static func writeForwardedFor(
    _ head: borrowing RequestHead, _ client: ForwardedClient, into buffer: inout ByteBuffer
  ) {
    buffer.append("X-Forwarded-For: ")
    if client.isTrusted {
      let fields = head.fields
      var next = fields.firstIndex(of: .xForwardedFor)
      while let index = next {
        let value = fields.value(at: index)
        if !value.isEmpty {
          buffer.append(value)
          buffer.append(", ")
        }
        next = fields.firstIndex(of: .xForwardedFor, from: index + 1)
      }
    }
    buffer.append(client.address.bytes)
    buffer.append("\r\n")
  }
}

// MARK: - Parts of a response

extension Forwarding {
  private static func appendResponseFields(
    _ head: borrowing ResponseHead, as rules: borrowing ResponseRules, to draft: inout ResponseDraft
  ) {
    let dropped = rules.dropped.union(rules.overrides.present)
    let filter = FieldFilter(
      dropped: dropped, connection: head.connection, checksOthers: rules.overrides.hasOtherNames)
    filter.forEachPassing(head.fields) { name in
      rules.overrides.firstIndex(named: name) != nil
        || (head.connection.nominatesOthers && head.fields.nominates(name))
    } body: {
      draft.append(head.fields, at: $0)
    }
  }
}

extension Fields {
  /// Whether any field is not a known one.
  var hasOtherNames: Bool { entries.contains { $0.known == Entry.unknown } }
}
