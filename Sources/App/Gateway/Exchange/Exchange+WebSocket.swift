import Bytes
import Configuration
import HTTP
import Loop
import Sockets
import Streams
import Telemetry

// Requests that open a WebSocket, on a route that takes them.
extension Exchange {
  /// Asks the backends, if the request may and is as it must be (RFC 6455, 4.2.1).
  func openWebSocket(_ request: RequestHead, on route: Route) {
    let isSecure = client.forwarded.wasSecure(as: request.fields)
    guard request.mayOpenWebSocket(by: route.cors, isSecure: isSecure) else {
      return refuseWebSocket(403, "origin_refused", "pages of this origin may not open a WebSocket here")
    }
    do throws(WebSocketFault) {
      askBackends(request, nil, to: route, opening: try WebSocketOpening(request))
    } catch {
      guard error == .protocolVersion else { return refuseWebSocket(400, "websocket_refused", error.description) }
      refuseWebSocket(426, "websocket_version", error.description) { fields in
        fields.append(.upgrade, literal: "websocket")
        if let name = FieldName("Sec-WebSocket-Version") { fields.append(name, FieldValue(literal: "13")) }
      }
    }
  }

  /// What such a client sends next is no HTTP, so the connection is of no use after the answer.
  private func refuseWebSocket(
    _ status: Int, _ code: String, _ detail: String, _ addFields: (inout Fields) -> Void = { _ in }
  ) {
    noteRefusal(.upgrade, status, code)
    var fields = ownFields
    addFields(&fields)
    client.refuse(ErrorResponse(problem: status, code: code, detail: detail, fields: fields))
  }

  /// The backend has opened it: from here on the two connections are one tunnel.
  func requestSwitched(
    _ head: consuming ResponseHead, _ backend: any Connection, _ input: InputBuffer, _ range: Range<Int>
  ) {
    guard let upstreamRequest = machine.asker, let route else { return }
    Forwarding.draftResponse(head, as: ResponseRules(dropped: [.xRequestID]), into: &context.draft)
    record.writeFields(to: &context.draft)
    answered(101, by: .upstream)
    machine.isOver()
    let end = TunnelEnd(
      to: backend, of: upstreamRequest, record: record, settings: route.settings.stream,
      limits: settings.configuration.limits)
    end.first = [UInt8](copying: input.slice(range))
    client.becomeTunnel(context.draft, to: end)
  }
}

extension UpstreamRequest: TunnelOwner {
  func tunnelEnded(failed: Bool) { finish(failed ? .ended(.clientGone) : .relayed) }
}
