import Files
import Glibc
import Streams

/// The log of all gateways of a simulation, in a file without a name.
final class SimulatedLog {
  struct Line {
    let text: String

    /// The value of a member; empty where there is none.
    func member(_ name: String) -> String {
      guard let range = text.firstRange(of: "\"\(name)\":") else { return "" }
      return String(text[range.upperBound...].drop { $0 == "\"" }.prefix { $0 != "\"" && $0 != "," && $0 != "}" })
    }
  }

  let writer: LogWriter
  private let descriptor: Int32
  private var offset = 0
  private var taken = 0

  init() {
    var name = Array("/tmp/simulated-log-XXXXXX".utf8CString)
    descriptor = mkstemp(&name)
    unlink(name)
    writer = LogWriter(descriptor: descriptor)
  }

  deinit {
    writer.close()
    close(descriptor)
  }

  /// The lines since this was last asked.
  func take() -> [Line] {
    let wanted = writer.counts.taken.wrappedSum() - taken
    var bytes: [UInt8] = []
    for _ in 0..<5_000 {
      var buffer = [UInt8](repeating: 0, count: 256 << 10)
      let count = pread(descriptor, &buffer, buffer.count, off_t(offset + bytes.count))
      if count > 0 { bytes += buffer.prefix(count) }
      if bytes.count(where: { $0 == 10 }) >= wanted { break }
      if count <= 0 { usleep(200) }
    }
    offset += bytes.count
    taken += wanted
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { Line(text: String($0)) }
  }
}
