package corpus

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"io/fs"
	"slices"
	"strings"

	"assay/internal/scan"
)

// Member is an entry of an archive.
type Member struct {
	Name   string
	Data   []byte
	Method uint16
	Mode   fs.FileMode
}

// PackZip writes a zip archive as Go's library does, with the sizes in the local headers.
func PackZip(members ...Member) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, m := range members {
		packed := m.Data
		if m.Method == zip.Deflate {
			packed = deflated(m.Data)
		}
		h := &zip.FileHeader{Name: m.Name, Method: m.Method, CRC32: crc32.ChecksumIEEE(m.Data), CompressedSize64: uint64(len(packed)), UncompressedSize64: uint64(len(m.Data))}
		if m.Mode != 0 {
			h.SetMode(m.Mode)
		}
		e, err := w.CreateRaw(h)
		if err == nil {
			_, err = e.Write(packed)
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// streamedZip writes the sizes after each entry, as archives written to a pipe have them.
func streamedZip(members ...Member) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, m := range members {
		e, err := w.CreateHeader(&zip.FileHeader{Name: m.Name, Method: m.Method})
		if err == nil {
			_, err = e.Write(m.Data)
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func deflated(data []byte) []byte {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, 6)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return out.Bytes()
}

// torchZip is laid out as torch.save does.
func torchZip(pickle []byte, more ...Member) []byte {
	return PackZip(append([]Member{
		{Name: "archive/data.pkl", Data: pickle}, {Name: "archive/byteorder", Data: []byte("little")},
		{Name: "archive/data/0", Data: floats(64)}, {Name: "archive/version", Data: []byte("3\n")},
		{Name: "archive/.data/serialization_id", Data: []byte("0636067461600816021500000000000000000000")},
	}, more...)...)
}

func torchScript(code string) []byte {
	return torchZip(scripted("__torch__.M"), Member{Name: "archive/code/__torch__.py", Data: []byte(code), Method: zip.Deflate}, Member{Name: "archive/constants.pkl", Data: []byte("\x80\x02).")})
}

// scripted is the pickle of a TorchScript module: an instance of a class whose code is beside it.
func scripted(class string) []byte {
	module, name := class[:strings.LastIndexByte(class, '.')], class[strings.LastIndexByte(class, '.')+1:]
	p := NewStream(2)
	p.Global(module, name).Tuple(func() {}).Op('\x81').Build(func() {
		p.Dict(func() {
			p.Text("training").Op('\x88').Text("padding").Global("torch.jit._pickle", "build_intlist").Call(func() { p.List(func() { p.Int(0).Int(1) }) })
		})
	})
	return p.Stop()
}

// Offsets of fields of headers.
const (
	localFlags, localMethod, localSum, localLength         = 6, 8, 14, 22
	centralFlags, centralMethod, centralSum, centralLength = 8, 10, 16, 24
)

// Zip gives zip archives.
func Zip() []Case {
	const text = "nothing but words, and more of these words, words, words\n"
	note := Member{Name: "notes.txt", Data: []byte(text)}
	packed := Member{Name: "notes.txt", Data: []byte(strings.Repeat(text, 50)), Method: zip.Deflate}
	one := PackZip(note)
	central := bytes.Index(one, []byte("PK\x01\x02"))
	end := bytes.Index(one, []byte("PK\x05\x06"))
	both := func(local, dir int, with string) []byte { return changed(changed(one, local, with), central+dir, with) }
	two := PackZip(note, Member{Name: "other.txt", Data: []byte(text)})
	overlap := bytes.Clone(two)
	second := bytes.LastIndex(overlap, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(overlap[second+42:], 0)
	copy(overlap[second+46:], "notes.txt")
	unlisted := slices.Concat(PackZip(Member{Name: "unlisted.pkl", Data: Pickle()})[:30+12+len(Pickle())], one)
	absolute := bytes.Clone(unlisted)
	binary.LittleEndian.PutUint32(absolute[len(absolute)-6:], uint32(len(unlisted)-len(one)+central))
	binary.LittleEndian.PutUint32(absolute[len(unlisted)-len(one)+central+42:], uint32(len(unlisted)-len(one)))
	// A model that runs code, in archives that scanners gave up on and loaders read.
	model := torchZip(Pickle())
	modelEntry := bytes.LastIndex(model, []byte("archive/data.pkl")) - 46
	broken := PackZip(Member{Name: "archive/a", Data: []byte(text)}, Member{Name: "archive/data.pkl", Data: Pickle()})
	method := func(n string) []byte { return both(localMethod, centralMethod, n) }
	deflate := PackZip(packed)
	bad, found, undecided := "zip-mismatch", scan.Found, scan.Undecided
	return []Case{
		{"zip/stored", one, scan.Clean, "", false},
		{"zip/deflated", deflate, scan.Clean, "", false},
		{"zip/streamed", streamedZip(note, Member{Name: "more.txt", Data: packed.Data, Method: zip.Deflate}), scan.Clean, "", false},
		{"zip/two", two, scan.Clean, "", false},
		{"zip/folder", PackZip(Member{Name: "a/"}, Member{Name: "a/b.txt", Data: []byte(text)}), scan.Clean, "", false},
		{"zip/empty", PackZip(), scan.Clean, "", false},
		{"zip/nested", PackZip(Member{Name: "in.zip", Data: PackZip(Member{Name: "in.zip", Data: deflate, Method: zip.Deflate})}), scan.Clean, "", false},
		{"zip/torch", torchZip(HarmlessPickle()), scan.Clean, "", true},
		{"zip/torchscript", torchScript("class M(Module):\n  def forward(self, x: Tensor) -> Tensor:\n    return torch.add(torch.conv2d(x, x), ops.prim.NumToTensor(1))\n"), scan.Clean, "", true},
		{"zip/npz", PackZip(Member{Name: "arr_0.npy", Data: npy("'<f4'", "(4,)", floats(4))}, Member{Name: "arr_1.npy", Data: npy("'<f4'", "(2, 2)", floats(4)), Method: zip.Deflate}), scan.Clean, "", true},
		{"zip/torch storage that looks like a pickle", PackZip(Member{Name: "archive/data.pkl", Data: HarmlessPickle()}, Member{Name: "archive/data/0", Data: Pickle()}), scan.Clean, "", true},

		{"zip/pickle", PackZip(Member{Name: "model.bin", Data: Pickle()}), found, "", true},
		{"zip/pickle deflated", PackZip(Member{Name: "readme.txt", Data: Pickle(), Method: zip.Deflate}), found, "", true},
		{"zip/pickle nested", PackZip(Member{Name: "a", Data: PackZip(Member{Name: "b", Data: Pickle(), Method: zip.Deflate}), Method: zip.Deflate}), found, "", true},
		{"zip/torch pickle", torchZip(Pickle()), found, "", true},
		{"zip/torch pickle beside", torchZip(HarmlessPickle(), Member{Name: "archive/data/evil", Data: Pickle()}), found, "", true},
		{"zip/torch pickle in version", torchZip(HarmlessPickle(), Member{Name: "archive/extra/version", Data: Pickle()}), found, "", true},
		{"zip/torchscript object of an extension", torchZip(scripted("__torch__.torch.classes.my.Thing")), undecided, "", true},
		{"zip/torchscript file", torchScript("def f(x):\n  return torch.from_file(\"/etc/hostname\", True, 10)\n"), found, "torchscript-operator", false},
		{"zip/torchscript save", torchScript("def f(x):\n  ops.aten.save(x, \"out\")\n"), found, "torchscript-operator", false},
		{"zip/torchscript image", torchScript("def f(x):\n  ops.image.write_file(\"out\", x)\n"), found, "torchscript-operator", false},
		{"zip/torchscript extension", torchScript("def f(x):\n  return ops.myext.run(x)\n"), undecided, "torchscript-operator", true},
		{"zip/torchscript class", torchScript("def f(x: __torch__.torch.classes.my.Thing):\n  return x\n"), undecided, "torchscript-operator", true},
		{"zip/torch pickle, name differs", changed(model, 30, "archive/data.txt"), found, bad, true},
		{"zip/torch pickle, flag set", changed(model, modelEntry+centralFlags, "\x01\x00"), found, "zip-encrypted", true},
		{"zip/torch pickle, another flag set", changed(model, modelEntry+centralFlags, "\x20\x00"), found, bad, true},
		{"zip/torch pickle, checksum wrong", changed(changed(model, localSum, "abcd"), modelEntry+centralSum, "abcd"), found, "zip-checksum", true},
		{"zip/torch pickle after a broken entry", changed(changed(broken, localSum, "abcd"), bytes.Index(broken, []byte("PK\x01\x02"))+centralSum, "abcd"), found, "zip-checksum", true},
		{"zip/torch pickle after an entry that is not read", changed(changed(broken, localMethod, "\x61\x00"), bytes.Index(broken, []byte("PK\x01\x02"))+centralMethod, "\x61\x00"), found, "", true},
		{"zip/keras pickle as weights", PackZip(Member{Name: "config.json", Data: []byte(kerasModel())}, Member{Name: "metadata.json", Data: []byte(`{"keras_version":"3.3.3"}`)}, Member{Name: "model.weights.npz", Data: Pickle()}), found, "", true},
		{"zip/keras", PackZip(Member{Name: "config.json", Data: []byte(kerasModel())}, Member{Name: "metadata.json", Data: []byte(`{"keras_version":"3.3.3"}`)}), scan.Clean, "", true},
		{"zip/npz objects", PackZip(Member{Name: "arr_0.npy", Data: npy("'|O'", "(1,)", Pickle())}), found, "", true},

		{"zip/name differs", changed(one, 30, "other.pkl"), found, bad, false},
		{"zip/name differs in directory", changed(one, central+46, "other.pkl"), found, bad, false},
		{"zip/flags differ", changed(one, localFlags, "\x00\x08"), found, bad, false},
		{"zip/flags differ in directory", changed(one, central+centralFlags, "\x00\x08"), found, bad, false},
		{"zip/descriptor flag only", both(localFlags, centralFlags, "\x08\x00"), found, bad, false},
		{"zip/method differs", changed(one, localMethod, "\x08\x00"), found, bad, false},
		{"zip/length differs", changed(one, localLength, "\x01\x00\x00\x00"), found, bad, false},
		{"zip/length wrong in both", changed(changed(deflate, localLength, "\x01\x00\x00\x00"), bytes.Index(deflate, []byte("PK\x01\x02"))+centralLength, "\x01\x00\x00\x00"), found, bad, false},
		{"zip/checksum differs", changed(one, localSum, "abcd"), found, bad, false},
		{"zip/checksum wrong", both(localSum, centralSum, "abcd"), found, "zip-checksum", false},
		{"zip/checksum wrong deflated", changed(changed(deflate, localSum, "abcd"), bytes.Index(deflate, []byte("PK\x01\x02"))+centralSum, "abcd"), found, "zip-checksum", false},
		{"zip/content changed", changed(one, 45, "changed"), found, "zip-checksum", false},
		{"zip/encrypted", both(localFlags, centralFlags, "\x01\x00"), found, "zip-encrypted", false},
		{"zip/encrypted in directory", changed(one, central+centralFlags, "\x01\x00"), found, "zip-encrypted", false},
		{"zip/encrypted in local header", changed(one, localFlags, "\x01\x00"), found, "zip-encrypted", false},
		{"zip/strongly encrypted", both(localFlags, centralFlags, "\x41\x00"), found, "zip-encrypted", false},
		{"zip/aes", method("\x63\x00"), found, "zip-encrypted", false},
		{"zip/overlap", overlap, found, "zip-overlap", false},
		{"zip/unlisted entry first", absolute, found, "zip-hidden", false},
		{"zip/unlisted entry as prefix", unlisted, found, "", true},
		{"zip/duplicate", PackZip(note, note), found, "zip-duplicate", false},
		{"zip/duplicate by dot", PackZip(note, Member{Name: "./notes.txt", Data: []byte(text)}), found, "zip-duplicate", false},
		{"zip/path up", PackZip(Member{Name: "../../notes.txt", Data: []byte(text)}), found, "zip-path", false},
		{"zip/path up within", PackZip(Member{Name: "a/../../notes.txt", Data: []byte(text)}), found, "zip-path", false},
		{"zip/path absolute", PackZip(Member{Name: "/etc/cron.d/x", Data: []byte(text)}), found, "zip-path", false},
		{"zip/path backslash", PackZip(Member{Name: `..\..\x`, Data: []byte(text)}), found, "zip-path", false},
		{"zip/path drive", PackZip(Member{Name: `C:\x`, Data: []byte(text)}), found, "zip-path", false},
		{"zip/path zero", PackZip(Member{Name: "x.txt\x00.pkl", Data: []byte(text)}), found, "zip-path", false},
		{"zip/link", PackZip(Member{Name: "x", Data: []byte("/etc/passwd"), Mode: 0o777 | fs.ModeSymlink}), found, "zip-link", false},
		{"zip/count", changed(one, end+8, "\x02\x00\x02\x00"), found, bad, false},
		{"zip/parts", changed(one, end+4, "\x01\x00"), found, bad, false},
		{"zip/trailing", append(bytes.Clone(one), "and more"...), found, bad, false},
		{"zip/trailing pickle", append(bytes.Clone(one), Pickle()...), found, "", false},
		{"zip/comment is a pickle", append(changed(one, end+20, string([]byte{byte(len(Pickle())), 0})), Pickle()...), found, "", true},
		{"zip/pickle before", append(Pickle(), one...), found, "", true},
		{"zip/no directory", one[:central], undecided, "zip-unreadable", false},
		{"zip/cut short", one[:len(one)-4], undecided, "zip-unreadable", false},
		{"zip/method unknown", method("\x61\x00"), undecided, "zip-unreadable", false},
		{"zip/directory damaged", changed(one, central, "XX"), found, bad, false},
		{"zip/hidden after deflate", trailing(packed), found, bad, false},
	}
}

// trailing has bytes after the end of the compressed content, within the entry.
func trailing(m Member) []byte {
	packed := append(deflated(m.Data), Pickle()...)
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	e, err := w.CreateRaw(&zip.FileHeader{Name: m.Name, Method: m.Method, CRC32: crc32.ChecksumIEEE(m.Data), CompressedSize64: uint64(len(packed)), UncompressedSize64: uint64(len(m.Data))})
	if err == nil {
		_, err = e.Write(packed)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return out.Bytes()
}
