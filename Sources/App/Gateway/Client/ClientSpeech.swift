/// What a client is known to speak.
enum ClientSpeech {
  case http11
  case http2
  /// Its first bytes say which.
  case either
}
