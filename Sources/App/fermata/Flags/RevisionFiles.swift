import Files
import Flags
import JSON

/// The revisions of one flag file that are kept in the directory `history` beside it, which other flag files share.
struct RevisionFiles {
  private let name: String
  private let folder: String
  private let directory: String
  private let access: SharedAccess
  private static let limit = 100
  private static let logMark = ".audit.jsonl"
  private static let lastLineMark = ".last-line"

  /// - Parameter path: the flag file.
  init(beside path: String, in directory: String, access: SharedAccess) {
    (name, folder) = (FilePath.name(of: path), FilePath.directory(of: path))
    (self.directory, self.access) = (directory, access)
  }

  func keep(_ bytes: [UInt8], revision: Int) throws(FileError) {
    try access.makeDirectory(directory)
    let ending = "\(revision)-\(SHA256.hexadecimal(bytes).prefix(8)).json"
    let path = "\(directory)/\(name).\(ending)"
    if (try? FileStat(path)) == nil { try AtomicFile.replace(path, with: bytes, access: access) }
    for old in all().dropLast(Self.limit) { Caller.remove(old.path) }
  }

  /// The kept revisions, the oldest first.
  func all() -> [(revision: Int, path: String)] {
    let names = Caller.names(in: directory)
    let own = names.filter { $0.hasPrefix(name + ".") }.compactMap { revision($0, after: name + ".") }
    // Earlier versions did not write whose revision it is.
    let nameless = names.compactMap { revision($0, after: "") }
    return (own + ours(of: nameless, among: names)).sorted { ($0.revision, $0.path) < ($1.revision, $1.path) }
  }

  /// `NUMBER-HASH.json`, where the hash has eight digits.
  private func revision(_ name: String, after front: String) -> (revision: Int, path: String)? {
    let parts = name.dropFirst(front.count).split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, parts[0].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(parts[0]),
      parts[1].utf8.count == 13, parts[1].hasSuffix(".json")
    else { return nil }
    return (number, "\(directory)/\(name)")
  }

  /// Those whose bytes this file's logs name. Where no other flag file was ever changed beside it, all of them.
  private func ours(
    of nameless: [(revision: Int, path: String)], among names: [String]
  ) -> [(revision: Int, path: String)] {
    guard !nameless.isEmpty else { return [] }
    let beside = Caller.names(in: folder)
    let others = Set(
      beside.compactMap { Self.owner($0, Self.logMark) } + names.compactMap { Self.owner($0, Self.lastLineMark) })
    guard !others.subtracting([name]).isEmpty else { return nameless }
    var known = Set<String>()
    for log in beside where Self.owner(log, Self.logMark) == name {
      for line in (try? FlagHistory.lines(ofLog: "\(folder)/\(log)")) ?? [] {
        guard let record = try? JSONValue(parsing: line) else { continue }
        known.formUnion(
          ["fileSha256Before", "fileSha256After"].compactMap { record[$0]?.string?.prefix(8) }.map(String.init))
      }
    }
    return nameless.filter { known.contains(String($0.path.dropLast(5).suffix(8))) }
  }

  /// The flag file of which `name` is the log, an old log, or the last line.
  private static func owner(_ name: String, _ mark: String) -> String? {
    guard let range = name.firstRange(of: mark), range.lowerBound > name.startIndex else { return nil }
    return String(name[..<range.lowerBound])
  }
}
