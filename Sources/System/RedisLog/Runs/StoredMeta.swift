import Bytes
import Runs
import SSE
import Streams
import Time

// How a run's meta lies in a hash.
extension RunMeta {
  /// Reads the answer to HGETALL; `nil` when it lacks something or something is not valid.
  init?(_ reply: RedisReply) {
    var fields: [String: RedisReply] = [:]
    var elements = reply.elements
    while let name = elements.next(), let value = elements.next() { fields[name.text] = value }
    guard let principal = fields["principal"]?.withBytes({ Digest(parsing: $0) }),
      let stream = fields["stream"]?.withBytes({ StreamID(parsing: $0) }),
      let created = fields["created"]?.withBytes({ $0.decimalValue }),
      let source = fields["source"].flatMap({ RunWriter(rawValue: $0.text) })
    else { return nil }
    self.init(
      principal: principal, stream: stream, created: WallTime(milliseconds: Int64(created)),
      contentType: fields["type"]?.text ?? "", source: source, route: fields["route"]?.text ?? "")
  }

  /// Appends names and values as arguments.
  func write(to command: RedisCommand) {
    command.append("principal")
    command.append { principal.write(to: &$0) }
    command.append("stream")
    command.append { stream.write(to: &$0) }
    command.append("created")
    command.append(Int(created.milliseconds))
    command.append("type")
    command.append(contentType)
    command.append("source")
    command.append(source.rawValue)
    guard !route.isEmpty else { return }
    command.append("route")
    command.append(route)
  }
}
