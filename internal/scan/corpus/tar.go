package corpus

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"

	"assay/internal/scan"
)

func packTar(headers ...tar.Header) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		content := h.Uname // stands for the content here
		h.Uname = ""
		h.Size, h.Mode = int64(len(content)), 0o600
		err := w.WriteHeader(&h)
		if err == nil {
			_, err = io.WriteString(w, content)
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

// Tar gives tar archives.
func Tar() []Case {
	const text = "nothing but words\n"
	file := func(name, content string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeReg, Uname: content}
	}
	link := func(kind byte, name, target string) []byte {
		return packTar(tar.Header{Name: name, Typeflag: kind, Linkname: target})
	}
	one := packTar(file("a.txt", text))
	clean, found, undecided := scan.Clean, scan.Found, scan.Undecided
	long := string(bytes.Repeat([]byte("folder/"), 40)) + "a.txt"
	return []Case{
		{"tar/one", one, clean, "", false},
		{"tar/two", packTar(file("a.txt", text), tar.Header{Name: "b/", Typeflag: tar.TypeDir}, file("b/a.txt", text)), clean, "", false},
		{"tar/long name", packTar(file(long, text)), clean, "", false},
		{"tar/gnu", packTar(tar.Header{Name: long, Typeflag: tar.TypeReg, Uname: text, Format: tar.FormatGNU}), clean, "", false},
		{"tar/pax", packTar(tar.Header{Name: "ä.txt", Typeflag: tar.TypeReg, Uname: text, PAXRecords: map[string]string{"ASSAY.x": "y"}}), clean, "", false},
		{"tar/link within", packTar(file("a.txt", text), tar.Header{Name: "b/c", Typeflag: tar.TypeSymlink, Linkname: "../a.txt"}), clean, "", false},
		{"tar/torch", torchTar(0, nil), clean, "", true},
		{"tar/torch pickle", torchTar(0, Pickle()), found, "", true},
		{"tar/torch pickle after the storages", torchTar(0, nil, Pickle()...), found, "", true},
		{"tar/torch storages cut short", torchTar(8, nil), undecided, "", true},
		{"tar/torch in gzip", gzipped(torchTar(0, nil)), clean, "", true},
		{"tar/pickle harmless", packTar(file("a", string(HarmlessPickle()))), clean, "", true},

		{"tar/pickle", packTar(file("a.txt", text), file("notes.txt", string(Pickle()))), found, "", true},
		{"tar/zip with pickle", packTar(file("a", string(PackZip(Member{Name: "x", Data: Pickle()})))), found, "", true},
		{"tar/path up", packTar(file("../a.txt", text)), found, "tar-path", false},
		{"tar/path absolute", packTar(file("/a.txt", text)), found, "tar-path", false},
		{"tar/symbolic link", link(tar.TypeSymlink, "a", "/etc/passwd"), found, "tar-link", false},
		{"tar/symbolic link up", link(tar.TypeSymlink, "b/a", "../../x"), found, "tar-link", false},
		{"tar/hard link", link(tar.TypeLink, "a", "../x"), found, "tar-link", false},
		{"tar/device", packTar(tar.Header{Name: "null", Typeflag: tar.TypeChar}), found, "tar-device", false},
		{"tar/pipe", packTar(tar.Header{Name: "pipe", Typeflag: tar.TypeFifo}), found, "tar-device", false},
		{"tar/duplicate", packTar(file("a.txt", text), file("./a.txt", text)), found, "tar-duplicate", false},
		{"tar/trailing pickle", append(bytes.Clone(one), Pickle()...), found, "", true},
		{"tar/two sizes", twoSizes(), found, "tar-mismatch", false},
		{"tar/cut short", one[:520], undecided, "", false},
		{"tar/second header damaged", changed(packTar(file("a.txt", text), file("b.txt", text)), 1024+10, "xyz"), undecided, "", false},
	}
}

// twoSizes has an extended header that states another size than the header it extends.
func twoSizes() []byte {
	record := "13 size=1024\n"
	extended := packTar(tar.Header{Name: "x", Typeflag: tar.TypeReg, Uname: record})[:1024]
	extended[156] = tar.TypeXHeader
	sum := 0
	for i, c := range extended[:512] {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int(c)
	}
	copy(extended[148:], fmt.Sprintf("%06o\x00 ", sum))
	inner := packTar(tar.Header{Name: "inner.txt", Typeflag: tar.TypeReg, Uname: "words"})
	return append(extended, packTar(tar.Header{Name: "outer.txt", Typeflag: tar.TypeReg, Uname: string(inner[:512])})...)
}

// Compressed gives content that is compressed as a whole.
func Compressed() []Case {
	writers := []struct {
		name string
		pack func(io.Writer) io.WriteCloser
	}{
		{"gzip", func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }},
		{"zlib", func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }},
		{"lz4", func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) }},
		{"zstd", func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
			if err != nil {
				panic(err)
			}
			return z
		}},
	}
	var out []Case
	add := func(name string, harmless, harmful []byte) {
		out = append(out,
			Case{name + "/pickle harmless", harmless, scan.Clean, "", true},
			Case{name + "/pickle", harmful, scan.Found, "", true},
			Case{name + "/pickle in zip", PackZip(Member{Name: "a", Data: harmful}), scan.Found, "", true},
			Case{name + "/trailing", append(bytes.Clone(harmless), "and more"...), scan.Undecided, "", true},
			Case{name + "/cut short", harmless[:len(harmless)-3], scan.Undecided, "", true},
		)
	}
	for _, w := range writers {
		pack := func(data []byte) []byte {
			var b bytes.Buffer
			z := w.pack(&b)
			_, err := z.Write(data)
			if err == nil {
				err = z.Close()
			}
			if err != nil {
				panic(err)
			}
			return b.Bytes()
		}
		add(w.name, pack(HarmlessPickle()), pack(Pickle()))
		out = append(out,
			Case{w.name + "/text", pack([]byte("nothing but words\n")), scan.Clean, "", false},
			Case{w.name + "/tar", pack(packTar(tar.Header{Name: "a.txt", Typeflag: tar.TypeReg, Uname: "words"})), scan.Clean, "", true},
			Case{w.name + "/tar with pickle", pack(packTar(tar.Header{Name: "a.txt", Typeflag: tar.TypeReg, Uname: string(Pickle())})), scan.Found, "", true},
			Case{w.name + "/twice", pack(pack(Pickle())), scan.Found, "", true},
			Case{w.name + "/bomb", pack(pack(make([]byte, 40<<20))), scan.Undecided, "", true},
		)
	}
	add("bzip2", decoded(bzip2Harmless), decoded(bzip2Harmful))
	add("xz", decoded(xzHarmless), decoded(xzHarmful))
	add("lzma", decoded(lzmaHarmless), decoded(lzmaHarmful))
	return append(out, Case{"lzma/written by Go", lzmaAlone(HarmlessPickle()), scan.Clean, "", true}, Case{"lzma/window", changed(lzmaAlone(Pickle()), 1, "\x00\x00\x00\x80"), scan.Undecided, "", true})
}

func lzmaAlone(data []byte) []byte {
	var out bytes.Buffer
	w, err := lzma.WriterConfig{DictCap: 64 << 10}.NewWriter(&out)
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

// torchTar is laid out as PyTorch before 0.1.10 did: storages and tensors in files of their
// own, which the object refers to by numbers. Some bytes are missing at the storages' end,
// another object may take the place of the usual, and more may follow the storages.
func torchTar(missing int, object []byte, more ...byte) []byte {
	le := binary.LittleEndian
	record := func(class string) []byte {
		p := NewStream(2)
		return p.Tuple(func() { p.Int(7).Text("cpu").Global("torch", class) }).Stop()
	}
	views := NewStream(2)
	storages := slices.Concat(NewStream(2).Int(1).Stop(), record("FloatStorage"), le.AppendUint64(nil, 6), floats(6), views.List(func() {}).Stop(), more)
	if missing > 0 {
		storages = storages[:len(storages)-missing]
	}
	tensors := slices.Concat(NewStream(2).Int(1).Stop(), record("FloatTensor"), le.AppendUint64(nil, 2), make([]byte, 5*8))
	if object == nil {
		p := NewStream(2)
		object = p.Dict(func() { p.Text("weight").Text("7").Op('Q') }).Stop()
	}
	info := NewStream(2)
	info.Dict(func() { info.Text("protocol_version").Int(1000).Text("little_endian").Op('\x88') })
	return packTar(tar.Header{Name: "sys_info", Typeflag: tar.TypeReg, Uname: string(info.Stop())}, tar.Header{Name: "pickle", Typeflag: tar.TypeReg, Uname: string(object)},
		tar.Header{Name: "storages", Typeflag: tar.TypeReg, Uname: string(storages)}, tar.Header{Name: "tensors", Typeflag: tar.TypeReg, Uname: string(tensors)})
}
