import Files
import Flags
import JSON
import Processes
import Time

/// A flag file as it is on disk.
struct LoadedFlags {
  /// What stands in for a file that can't be used.
  struct Recovery {
    /// What is wrong with the file.
    var fault: String
    /// What is taken instead, for people.
    var source: String
    /// The broken file, where it can be read.
    var disk: [UInt8]?
    var isThere: Bool
  }

  let path: String
  let bytes: [UInt8]
  let set: FlagSet
  private(set) var recovery: Recovery?

  var document: JSONValue { self.set.document }
  var revision: Int { FlagEdit.revision(of: document) }

  /// SHA-256 of what is on the disk; "" when there is nothing that can be read.
  var diskHash: String {
    guard let recovery else { return self.set.hash }
    return recovery.disk.map { SHA256.hexadecimal($0) } ?? ""
  }

  /// What the audit log must agree with.
  var audited: AuditedFile {
    let history = FlagHistory(beside: path)
    return AuditedFile(
      hash: diskHash, revision: revision, lineHash: recovery == nil ? FlagEdit.lineHash(of: document) : "",
      written: history.lastWritten(), kept: history.revisions().last?.revision ?? 0)
  }

  init(_ path: String) throws(FlagsFailure) {
    self.path = path
    bytes = try Self.read(path)
    set = try Self.parse(bytes, path)
  }

  private init(_ path: String, _ bytes: [UInt8], _ set: FlagSet, _ recovery: Recovery) {
    (self.path, self.bytes, self.set, self.recovery) = (path, bytes, set, recovery)
  }

  /// The file, or what was last good in its place: a kill must not depend on a file that somebody broke.
  init(recovering path: String) throws(FlagsFailure) {
    do throws(FlagsFailure) {
      let loaded = try LoadedFlags(path)
      guard !loaded.set.flags.isEmpty else {
        throw FlagsFailure(
          .invalidFile, "no_flags", "\(path) has no flags", next: "fermata flags lint --file \(path)")
      }
      self = loaded
    } catch {
      var recovery = Recovery(
        fault: error.message, source: "the built-in flags", disk: try? readFile(path, limit: 1 << 20).bytes,
        isThere: (try? FileStat(path)) != nil)
      for kept in FlagHistory(beside: path).revisions().reversed() {
        guard let old = try? LoadedFlags(kept.path) else { continue }
        recovery.source = "revision \(kept.revision) of the history"
        self.init(path, old.bytes, old.set, recovery)
        return
      }
      let bytes = FlagEdit.file(FlagEdit.builtIn)
      self.init(path, bytes, try Self.parse(bytes, path), recovery)
    }
  }

  static func read(_ path: String) throws(FlagsFailure) -> [UInt8] {
    // A file that is replaced in place is read again, a few times.
    for _ in 0..<20 {
      do {
        return try readFile(path, limit: 1 << 20).bytes
      } catch .changedWhileReading {
        SystemClock.sleep(.milliseconds(5))
      } catch {
        throw .file(error)
      }
    }
    throw .file(.changedWhileReading(path: path))
  }

  static func parse(_ bytes: [UInt8], _ path: String) throws(FlagsFailure) -> FlagSet {
    do {
      return try FlagSet(parsing: bytes)
    } catch {
      var failure = FlagsFailure(
        .invalidFile, "invalid_file", "\(path): \(error.first)", next: "fermata flags lint --file \(path)")
      failure.pointer = error.first.pointer.description
      throw failure
    }
  }
}
