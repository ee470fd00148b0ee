package corpus

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"unicode/utf16"

	"github.com/ulikunitz/xz/lzma"

	"assay/internal/scan"
)

// sevenZip is an archive of 7-Zip's, with all files in one folder.
type sevenZip struct {
	coder   []byte // of the folder: flags, method and properties
	pack    func([]byte) []byte
	encoded bool // the header is packed too
	sum     func(uint32) uint32
	link    bool // the files are links
}

func lzmaPacked(data []byte) []byte { return lzmaAlone(data)[lzma.HeaderLen:] }

func lzma2Packed(data []byte) []byte {
	var out bytes.Buffer
	w, err := lzma.Writer2Config{DictCap: 64 << 10}.NewWriter2(&out)
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

// The coders of folders.
var (
	copyCoder    = []byte{0x01, 0x00}
	lzmaCoder    = []byte{0x23, 0x03, 0x01, 0x01, 0x05, 0x5d, 0, 0, 0x80, 0}
	lzma2Coder   = []byte{0x21, 0x21, 0x01, 0x16}
	deflateCoder = []byte{0x03, 0x04, 0x01, 0x08}
	aesCoder     = []byte{0x24, 0x06, 0xf1, 0x07, 0x01, 0x01, 0x00}
)

// seven is a number as the headers have it, in nine bytes where it is large.
func seven(n int) []byte {
	if n < 0x80 {
		return []byte{byte(n)}
	}
	return binary.LittleEndian.AppendUint64([]byte{0xff}, uint64(n))
}

// streams describes one folder: where its packed content is, how it is packed and its size.
func (z sevenZip) streams(offset, packed int, coder []byte, size int, sum uint32, parts []Member) []byte {
	le := binary.LittleEndian
	out := slices.Concat([]byte{0x06}, seven(offset), []byte{1, 0x09}, seven(packed), []byte{0}, []byte{0x07, 0x0b, 1, 0, 1}, coder, []byte{0x0c}, seven(size))
	if parts == nil {
		return append(le.AppendUint32(append(out, 0x0a, 1), sum), 0, 0)
	}
	out = slices.Concat(out, []byte{0, 0x08, 0x0d}, seven(len(parts)))
	if len(parts) > 1 {
		out = append(out, 0x09)
		for _, p := range parts[:len(parts)-1] {
			out = append(out, seven(len(p.Data))...)
		}
	}
	out = append(out, 0x0a, 1)
	for _, p := range parts {
		sum := crc32.ChecksumIEEE(p.Data)
		if z.sum != nil {
			sum = z.sum(sum)
		}
		out = le.AppendUint32(out, sum)
	}
	return append(out, 0, 0)
}

func (z sevenZip) bytes(members ...Member) []byte {
	le := binary.LittleEndian
	var content []byte
	names := []byte{0}
	attributes := []byte{1, 0}
	for _, m := range members {
		content = append(content, m.Data...)
		for _, c := range utf16.Encode([]rune(m.Name + "\x00")) {
			names = le.AppendUint16(names, c)
		}
		attributes = le.AppendUint32(attributes, 0xa1ff8000)
	}
	packed := z.pack(content)
	header := slices.Concat([]byte{0x01, 0x04}, z.streams(0, len(packed), z.coder, len(content), 0, members), []byte{0x05}, seven(len(members)), []byte{0x11}, seven(len(names)), names)
	if z.link {
		header = slices.Concat(header, []byte{0x15}, seven(len(attributes)), attributes)
	}
	header = append(header, 0, 0)
	body := packed
	if z.encoded {
		inner := lzmaPacked(header)
		body = append(bytes.Clone(packed), inner...)
		header = append([]byte{0x17}, z.streams(len(packed), len(inner), lzmaCoder, len(header), crc32.ChecksumIEEE(header), nil)...)
	}
	start := le.AppendUint32(le.AppendUint64(le.AppendUint64(nil, uint64(len(body))), uint64(len(header))), crc32.ChecksumIEEE(header))
	out := append([]byte("7z\xbc\xaf\x27\x1c\x00\x04"), le.AppendUint32(nil, crc32.ChecksumIEEE(start))...)
	return slices.Concat(out, start, body, header)
}

// SevenZip gives archives of 7-Zip's.
func SevenZip() []Case {
	plain := func(b []byte) []byte { return b }
	words := Member{Name: "notes.txt", Data: []byte("nothing but words, words, words\n")}
	evil := Member{Name: "model.bin", Data: Pickle()}
	stored := sevenZip{coder: copyCoder, pack: plain}
	out := []Case{}
	add := func(want scan.Status, rule, name string, data []byte, other bool) {
		out = append(out, Case{"7z/" + name, data, want, rule, other})
	}
	for _, m := range []struct {
		name string
		sevenZip
	}{
		{"stored", stored}, {"lzma", sevenZip{coder: lzmaCoder, pack: lzmaPacked}}, {"lzma2", sevenZip{coder: lzma2Coder, pack: lzma2Packed}}, {"deflate", sevenZip{coder: deflateCoder, pack: deflated}},
		{"packed header", sevenZip{coder: lzma2Coder, pack: lzma2Packed, encoded: true}},
	} {
		add(scan.Clean, "", m.name, m.bytes(words), false)
		add(scan.Clean, "", m.name+"/two", m.bytes(words, Member{Name: "b/model.pkl", Data: HarmlessPickle()}), true)
		add(scan.Found, "", m.name+"/pickle", m.bytes(evil), true)
		add(scan.Found, "", m.name+"/pickle second", m.bytes(words, evil), true)
		wrong := m.sevenZip
		wrong.sum = func(s uint32) uint32 { return s + 1 }
		add(scan.Undecided, "unreadable", m.name+"/checksum", wrong.bytes(words), false)
	}
	one := stored.bytes(words)
	add(scan.Clean, "", "empty", []byte("7z\xbc\xaf\x27\x1c\x00\x04\x8d\x9b\xd5\x0f\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), false)
	add(scan.Found, "", "in zip", PackZip(Member{Name: "a.7z", Data: sevenZip{coder: lzma2Coder, pack: lzma2Packed}.bytes(evil), Method: 8}), true)
	add(scan.Found, "7z-path", "path up", stored.bytes(Member{Name: "../../x", Data: words.Data}), false)
	add(scan.Found, "7z-path", "path absolute", stored.bytes(Member{Name: "/etc/cron.d/x", Data: words.Data}), false)
	add(scan.Found, "7z-path", "path drive", stored.bytes(Member{Name: `C:\x`, Data: words.Data}), false)
	add(scan.Found, "7z-duplicate", "duplicate", stored.bytes(words, words), false)
	add(scan.Found, "7z-link", "link", sevenZip{coder: copyCoder, pack: plain, link: true}.bytes(Member{Name: "x", Data: []byte("/etc/passwd")}), false)
	add(scan.Found, "7z-encrypted", "encrypted", sevenZip{coder: aesCoder, pack: plain}.bytes(words), false)
	add(scan.Undecided, "7z-method", "method", sevenZip{coder: []byte{0x04, 4, 0xf7, 0x11, 1}, pack: plain}.bytes(words), false)
	add(scan.Found, "7z-structure", "header changed", changed(one, len(one)-3, "\xff"), false)
	add(scan.Found, "7z-structure", "start changed", changed(one, 12, "\xff"), false)
	add(scan.Found, "7z-structure", "cut short", one[:len(one)-5], false)
	add(scan.Found, "", "pickle after", append(bytes.Clone(one), Pickle()...), true)
	return out
}
