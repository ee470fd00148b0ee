{
  "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
  "verificationMaterial": {
    "publicKey": {
      "hint": "2e334e12d065c9acc436ffc58f505ad4952d87e18f600a9f60d5b816b702dffa"
    },
    "tlogEntries": []
  },
  "dsseEnvelope": {
    "payloadType": "application/vnd.in-toto+json",
    "payload": "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoidGVzdC5jc3YiLCJkaWdlc3QiOnsic2hhMjU2IjoiNjg2YjU5N2UyNzRlOGYyZDQwYjJmNGM2YWE4YmFiYmQwODA4YjhjZmYwZDVjMWZjNzMzM2FmMDAyNzRkNjAyNiJ9fV0sInByZWRpY2F0ZVR5cGUiOiJodHRwczovL21vZGVsX3NpZ25pbmcvc2lnbmF0dXJlL3YxLjAiLCJwcmVkaWNhdGUiOnsicmVzb3VyY2VzIjpbeyJuYW1lIjoidGVzdC5jc3YiLCJkaWdlc3QiOiI5OWIwM2U0YWVmODA3MWQxYmE2NmI2ZGNjODY2NjUwYjNmZTRhMzkzNTI4NzNkMjQzNzRlYzZhODczZWNiZWM3IiwiYWxnb3JpdGhtIjoic2hhMjU2In1dLCJzZXJpYWxpemF0aW9uIjp7Im1ldGhvZCI6ImZpbGVzIiwiaGFzaF90eXBlIjoic2hhMjU2IiwiYWxsb3dfc3ltbGlua3MiOmZhbHNlLCJpZ25vcmVfcGF0aHMiOlsiLmdpdCIsIi5naXRhdHRyaWJ1dGVzIiwiLmdpdGh1YiIsIi5naXRpZ25vcmUiXX19fQ==",
    "signatures": [
      {
        "keyid": "",
        "sig": "BVRpBE/6TedGCfJevjDbhhufTVNw5q/4kQ9JLyW4fKMJK9W2FBSqpDJnhNbZkZBtENbfjVTcWWBcOm3LDkYjCQ=="
      }
    ]
  }
}
