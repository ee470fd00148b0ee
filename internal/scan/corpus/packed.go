package corpus

// What Go has no writers for, made by Python 3.11's bz2 and lzma of Pickle and HarmlessPickle.
const (
	bzip2Harmful  = "QlpoOTFBWSZTWXx+BiEAAAvTwBAQAAESABhlXgBCACAAIiAeoBp+qFNMjExMT1XdCzdhHOwQMBb4u5IpwoSD4/AxCA=="
	bzip2Harmless = "QlpoOTFBWSZTWUfEjiQAACTfwP2EAEEAAMCAAEIi5z6CQAAAQCAAVFAmRpgjTAJ5CNCajQD1ADIaUaKitYqCLowZGKJi6GSXN7mMoFs6vKDJ9OXdU8MG4ENLBYjhkQHYu5IpwoSCPiRxIA=="
	xzHarmful     = "/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAYgAJjYnVpbHRpbnMKcHJpbnQKVQJoaYVSLgAAAAB6dAvaT8BSqAABMRlZGrCCH7bzfQEAAAAABFla"
	xzHarmless    = "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4ABNAEBdAEAAiynXgKBj/e5G8BUr27QeJ3yPs8Tby+Dw+nLe3dXUWy8cgmd8Ge+KtlSAhdF4o1OyvEtICchApJq0mhdWVNQAWFqmyW0X4uEAAVxO5Mvspx+2830BAAAAAARZWg=="
	lzmaHarmless  = "XQAAgAD//////////wBAAIsp14CgY/3uRvAVK9u0Hid8j7PE28vg8Ppy3t3V1FsvHIJnfBnvirZUgIXReKNTsrxLSAnIQKSatJoYLlaj//+8yAAA"
	lzmaHarmful   = "XQAAgAD//////////wBAAIgC8sNpkbqYCMF2G2GMcNAiTX55EIfIOiK6T///3E0AAA=="
)
