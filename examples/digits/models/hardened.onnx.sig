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
    "payload": "eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJuYW1lIjoiaGFyZGVuZWQub25ueCIsImRpZ2VzdCI6eyJzaGEyNTYiOiI2YzY5ZWFiMDFjOGRlMTU4YWI4ZDU2ZTQ4ZGZiYzA3NTkzNzNiY2MxNjg1NzBlZjRmNTZlNmVkMDU3MGY3ZTQ2In19XSwicHJlZGljYXRlVHlwZSI6Imh0dHBzOi8vbW9kZWxfc2lnbmluZy9zaWduYXR1cmUvdjEuMCIsInByZWRpY2F0ZSI6eyJyZXNvdXJjZXMiOlt7Im5hbWUiOiJoYXJkZW5lZC5vbm54IiwiZGlnZXN0IjoiNmI1ZWQ5N2YxYTU4NmJjNTZiN2RjYmEyMzIxZWQ5Nzk0YmZmNDhmYTE0ZDAzOTZjOTc0ZmUxYzc5YTIzZTQzYSIsImFsZ29yaXRobSI6InNoYTI1NiJ9XSwic2VyaWFsaXphdGlvbiI6eyJtZXRob2QiOiJmaWxlcyIsImhhc2hfdHlwZSI6InNoYTI1NiIsImFsbG93X3N5bWxpbmtzIjpmYWxzZSwiaWdub3JlX3BhdGhzIjpbIi5naXQiLCIuZ2l0YXR0cmlidXRlcyIsIi5naXRodWIiLCIuZ2l0aWdub3JlIl19fX0=",
    "signatures": [
      {
        "keyid": "",
        "sig": "N9KZ093J+gkRLzFPZcVmTFxpBqgCVItHVUAzYyYlNetxM4JVYLq0rZR5uszZbKh+oH+v2wp9DO6oaCByQ5/rAQ=="
      }
    ]
  }
}
