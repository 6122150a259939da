import Testing

/// Who may import whom. The build's own check does not see C modules, which leak to every dependent.
struct ImportTests {
  /// For each module of `Sources` what its files may import. Modules that don't exist yet may stand here already.
  static let allowed: [String: Set<String>] = [
    // Core: decisions. No C, no clock, no socket, no file.
    "Bytes": [],
    "Time": [],
    "JSON": ["Bytes", "Time", "FoundationEssentials"],
    "SSE": ["Bytes"],
    "HTTP": ["Bytes", "Time"],
    "Flags": ["Bytes", "JSON", "Time"],
    "Telemetry": ["Bytes", "Time"],
    "Streams": ["Bytes", "Time", "SSE", "JSON", "Flags"],
    "Runs": ["Bytes", "Time", "SSE", "Streams"],

    // System: the outside world, one library or kernel facility each.
    "Loop": ["Bytes", "Time", "CLibevent", "Glibc", "Synchronization"],
    "Sockets": ["Bytes", "Time", "Loop", "Glibc", "Synchronization"],
    "Files": ["Bytes", "Time", "Loop", "Glibc", "Synchronization"],
    "Processes": ["Bytes", "Time", "CMalloc", "Glibc", "Synchronization"],
    "TLS": ["Bytes", "Time", "Loop", "Sockets", "COpenSSL", "Glibc", "Synchronization"],
    "HTTP2": ["Bytes", "Time", "HTTP", "CNghttp2"],
    "RedisLog": [
      "Bytes", "Time", "JSON", "SSE", "Streams", "Runs", "Loop", "Sockets", "TLS", "CHiredis", "Glibc",
      "Synchronization",
    ],

    // App: assembly, and no C library.
    "Configuration": [
      "Time", "JSON", "HTTP", "Flags", "Telemetry", "Streams", "Loop", "Sockets", "TLS", "Files", "Processes",
      "RedisLog",
    ],
    "Upstreams": ["Configuration", "Bytes", "Time", "HTTP", "Streams", "Loop", "Sockets", "TLS"],
    "Logging": ["Bytes", "Files", "JSON", "Telemetry", "Time"],
    "FlagControl": [
      "Configuration", "Logging", "Bytes", "Time", "JSON", "HTTP", "Flags", "Telemetry", "Streams", "Loop", "Sockets",
      "Files", "Processes", "RedisLog",
    ],
    "Tracing": [
      "Configuration", "Upstreams", "Bytes", "Time", "HTTP", "SSE", "Telemetry", "Streams", "Loop", "Sockets",
      "Processes", "Synchronization",
    ],
    "Gateway": core.union(system).union([
      "Configuration", "Upstreams", "Logging", "FlagControl", "Tracing", "Synchronization",
    ]),
    "Operations": core.union([
      "Configuration", "Upstreams", "Logging", "FlagControl", "Tracing", "Gateway", "Loop", "Sockets", "Files",
      "Processes",
    ]),
    "Harness": core.union(system).union(["Synchronization"]),
    "Matrix": ["Harness", "Streams", "Flags", "JSON", "Time"],
    "fermata": core.union(system).union([
      "Configuration", "FlagControl", "Gateway", "Operations", "Harness", "Matrix", "FermataClientCore", "CBuild",
      "CEpoll", "Glibc", "Synchronization",
    ]),

    // Clients: what users take home.
    "FermataClientCore": ["FoundationEssentials", "Foundation", "Observation"],
    "FermataClient": ["FermataClientCore", "Foundation", "FoundationNetworking"],
  ]

  private static let core: Set = ["Bytes", "Time", "JSON", "SSE", "HTTP", "Flags", "Telemetry", "Streams", "Runs"]
  private static let system: Set = ["Loop", "Sockets", "Files", "Processes", "TLS", "HTTP2", "RedisLog"]
  private static let app: Set = [
    "Configuration", "Upstreams", "Logging", "FlagControl", "Tracing", "Gateway", "Operations", "Harness", "Matrix",
    "fermata",
  ]

  @Test func `a source file imports what the row of its module allows`() throws {
    let tree = try SourceTree("Sources")
    #expect(tree.files.count > 50)
    for file in tree.files {
      guard let row = Self.allowed[file.module] else {
        Issue.record("\(file.path): the module has no row in the table")
        continue
      }
      for module in file.imports where !row.contains(module) {
        Issue.record("\(file.path) imports \(module): the table does not allow it")
      }
    }
  }

  @Test func `a module is in the folder of its tier`() throws {
    for file in try SourceTree("Sources").files {
      switch file.tier {
      case "Core": #expect(Self.core.contains(file.module), "\(file.path)")
      case "System": #expect(Self.system.contains(file.module), "\(file.path)")
      case "App": #expect(Self.app.contains(file.module), "\(file.path)")
      case "Clients": #expect(file.module.hasPrefix("FermataClient"), "\(file.path)")
      default: Issue.record("\(file.path): there is no such tier")
      }
    }
  }

  @Test func `only the part of the client library that knows URLSession speaks to the network`() throws {
    let files = try SourceTree("Sources/Clients").files.filter { $0.imports.contains("FoundationNetworking") }
    #expect(files.allSatisfy { $0.module == "FermataClient" } && files.count == 2, "\(files.map(\.path))")
  }

  @Test func `core imports core`() {
    for module in Self.core {
      let outside = Self.allowed[module, default: []].subtracting(Self.core)
      #expect(outside == (module == "JSON" ? ["FoundationEssentials"] : []), "\(module)")
    }
  }

  @Test func `no module imports itself in a circle`() {
    func reaches(_ module: String, _ goal: String, _ seen: inout Set<String>) -> Bool {
      for next in Self.allowed[module, default: []] where seen.insert(next).inserted {
        if next == goal || reaches(next, goal, &seen) { return true }
      }
      return false
    }
    for module in Self.allowed.keys {
      var seen: Set<String> = []
      #expect(!reaches(module, module, &seen), "\(module)")
    }
  }

  @Test func `a C module has one importer at most`() throws {
    let tree = try SourceTree("Sources")
    let modules = try SourceTree.modules(of: "C")
    #expect(modules.contains("CLibevent"))
    for module in modules {
      let importers = Set(tree.files.filter { $0.imports.contains(module) }.map(\.module))
      #expect(importers.count <= 1, "\(module) is imported by \(importers.sorted())")
      #expect(Self.allowed.values.filter { $0.contains(module) }.count == 1, "\(module) has not one row that allows it")
    }
    let known = Set(Self.allowed.values.joined()).filter {
      $0.first == "C" && $0.dropFirst().first?.isUppercase == true
    }
    #expect(known == ["CLibevent", "COpenSSL", "CNghttp2", "CHiredis", "CBuild", "CEpoll", "CMalloc"])
  }

  @Test(
    arguments: [
      ("import A", "A"), ("package import A", "A"), ("@preconcurrency internal import A", "A"),
      ("import struct A.B", "A"),
      ("  import\tA.B", "A"), ("// import A", nil), ("important A", nil), ("let import = 1", nil), ("", nil),
      ("import", nil),
    ] as [(String, String?)])
  func `import lines are read in every form`(_ line: String, _ module: String?) {
    #expect(SourceTree.File.importedModule(line[...]) == module)
  }
}
