import Bytes
package import HTTP
package import Loop
package import Sockets

/// One request of the gateway's own to a backend, on a connection of its own, and the head of the answer. The rest of the
/// answer is not read.
package final class BackendQuestion {
  /// Makes a connection to the backend.
  package typealias Connect = (@escaping UpstreamDial.Completion) -> UpstreamDial

  private let request: HTTP1Request
  private var completion: ((ResponseHead?) -> Void)?
  private var dial: UpstreamDial?
  private var connection: (any Connection)?
  private var parser = ResponseHeadParser()

  /// - Parameters:
  ///   - request: the last one of its connection.
  ///   - completion: called once, with `nil` when there was no answer; not at all after `cancel()`.
  package init(_ request: HTTP1Request, completion: @escaping (ResponseHead?) -> Void) {
    self.request = request
    self.completion = completion
  }

  package func begin(_ connect: Connect) {
    dial = connect { [self] result in
      dial = nil
      switch result {
      case .success(let connection): ask(connection)
      case .failure: finish(nil)
      }
    }
  }

  package func cancel() {
    completion = nil
    dial?.cancel()
    dial = nil
    connection?.close()
    connection = nil
  }

  private func ask(_ connection: any Connection) {
    guard completion != nil else { return connection.close() }
    self.connection = connection
    connection.handler = self
    var bytes = ByteBuffer()
    request.write(into: &bytes)
    connection.write(bytes.span)
    connection.startReading()
  }

  private func finish(_ head: ResponseHead?) {
    let completion = completion.take()
    cancel()
    completion?(head)
  }
}

extension BackendQuestion: ConnectionHandler {
  package func connectionReceived(_ input: InputBuffer) {
    do {
      guard case .complete(let head, _) = try parser.parse(input.bytes) else { return }
      finish(head)
    } catch {
      finish(nil)
    }
  }

  package func connectionDrained() {}
  package func connectionEnded(_ end: ConnectionEnd) { finish(nil) }
}
