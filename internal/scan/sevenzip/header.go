package sevenzip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// Properties of headers (7zFormat.txt of the LZMA SDK).
const (
	idEnd            = 0x00
	idHeader         = 0x01
	idArchive        = 0x02
	idAdditional     = 0x03
	idMainStreams    = 0x04
	idFiles          = 0x05
	idPackInfo       = 0x06
	idUnpackInfo     = 0x07
	idSubStreams     = 0x08
	idSize           = 0x09
	idCRC            = 0x0a
	idFolder         = 0x0b
	idUnpackSize     = 0x0c
	idNumberOfUnpack = 0x0d
	idEmptyStream    = 0x0e
	idNames          = 0x11
	idAttributes     = 0x15
	idEncodedHeader  = 0x17
)

// The most of each thing that is read.
const (
	maxFolders = 10_000
	maxFiles   = 100_000
	maxCoders  = 8
)

var errDamaged = errors.New("its header is damaged")

// parser reads a header that is in memory. The first error stays.
type parser struct {
	b   []byte
	err error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: %s", errDamaged, fmt.Sprintf(format, args...))
	}
	p.b = nil
}

func (p *parser) bytes(n uint64) []byte {
	if n > uint64(len(p.b)) {
		p.fail("it is cut short")
		return make([]byte, min(n, 64))
	}
	out := p.b[:n]
	p.b = p.b[n:]
	return out
}

func (p *parser) byte() byte { return p.bytes(1)[0] }

// number reads a number of up to eight bytes, of which the first says how many follow.
func (p *parser) number() uint64 {
	first := p.byte()
	var out uint64
	for i, mask := 0, byte(0x80); i < 8; i, mask = i+1, mask>>1 {
		if first&mask == 0 {
			return out | uint64(first&(mask-1))<<(8*i)
		}
		out |= uint64(p.byte()) << (8 * i)
	}
	return out
}

func (p *parser) count(most uint64) int {
	n := p.number()
	if n > most {
		p.fail("%d of something, where at most %d are read", n, most)
		return 0
	}
	return int(n)
}

func (p *parser) expect(id byte) {
	if got := p.byte(); p.err == nil && got != id {
		p.fail("property %#x stands where %#x must", got, id)
	}
}

// bits reads a truth value for each of some things.
func (p *parser) bits(n int) []bool {
	out := make([]bool, n)
	var b byte
	for i := range out {
		if i%8 == 0 {
			b = p.byte()
		}
		out[i] = b&(0x80>>(i%8)) != 0
	}
	return out
}

// digests reads checksums, which not all have.
func (p *parser) digests(n int) []digest {
	defined := make([]bool, n)
	if p.byte() == 0 {
		defined = p.bits(n)
	} else {
		for i := range defined {
			defined[i] = true
		}
	}
	out := make([]digest, n)
	for i := range out {
		if defined[i] && p.err == nil {
			out[i] = digest{binary.LittleEndian.Uint32(p.bytes(4)), true}
		}
	}
	return out
}

type digest struct {
	sum   uint32
	known bool
}

// coder is a way of packing, with its properties.
type coder struct {
	id         string
	properties []byte
	simple     bool // one stream in and one out
}

// folder is content that was packed together.
type folder struct {
	coders      []coder
	packed      int // streams that go in
	offset      uint64
	packedSize  uint64
	sizes       []uint64 // after each coder
	main        int      // the coder whose output is the content
	digest      digest
	parts       []uint64 // the sizes of the files in it
	partDigests []digest
}

func (f *folder) size() uint64 { return f.sizes[f.main] }

// streams is what StreamsInfo says.
type streams struct{ folders []folder }

func (p *parser) streams() streams {
	var s streams
	var offset uint64
	var packed []uint64
	subs := false
	for p.err == nil {
		switch id := p.byte(); id {
		case idPackInfo:
			offset, packed = p.packInfo()
		case idUnpackInfo:
			s.folders = p.folders()
		case idSubStreams:
			subs = true
			p.subStreams(s.folders)
		case idEnd:
			s.place(p, offset, packed)
			if !subs {
				for i := range s.folders {
					f := &s.folders[i]
					f.parts, f.partDigests = []uint64{f.size()}, []digest{f.digest}
				}
			}
			return s
		default:
			p.fail("property %#x is not known", id)
		}
	}
	return s
}

// place gives each folder its packed content.
func (s *streams) place(p *parser, offset uint64, packed []uint64) {
	for i := range s.folders {
		f := &s.folders[i]
		f.offset = offset
		for range f.packed {
			if len(packed) == 0 || packed[0] > 1<<60 {
				p.fail("it has more folders than packed streams")
				return
			}
			f.packedSize += packed[0]
			offset += packed[0]
			packed = packed[1:]
		}
	}
	if len(packed) > 0 {
		p.fail("it has more packed streams than folders")
	}
}

func (p *parser) packInfo() (offset uint64, sizes []uint64) {
	offset = p.number()
	n := p.count(maxFolders)
	for p.err == nil {
		switch id := p.byte(); id {
		case idSize:
			sizes = nil
			for range n {
				sizes = append(sizes, p.number())
			}
		case idCRC:
			p.digests(n)
		case idEnd:
			return offset, sizes
		default:
			p.fail("property %#x is not known", id)
		}
	}
	return offset, sizes
}

func (p *parser) folders() []folder {
	p.expect(idFolder)
	n := p.count(maxFolders)
	if p.byte() != 0 {
		p.fail("its folders are elsewhere")
	}
	out := make([]folder, n)
	for i := range out {
		if p.folder(&out[i]); p.err != nil {
			return nil
		}
	}
	p.expect(idUnpackSize)
	for i := range out {
		for range out[i].coders {
			out[i].sizes = append(out[i].sizes, p.number())
		}
	}
	for p.err == nil {
		switch id := p.byte(); id {
		case idCRC:
			for i, d := range p.digests(n) {
				out[i].digest = d
			}
		case idEnd:
			return out
		default:
			p.fail("property %#x is not known", id)
		}
	}
	return out
}

func (p *parser) folder(f *folder) {
	in := 0
	for range p.count(maxCoders) {
		flags := p.byte()
		c := coder{id: string(p.bytes(uint64(flags & 0x0f))), simple: true}
		inputs := 1
		if flags&0x10 != 0 {
			inputs = p.count(maxCoders)
			outputs := p.count(maxCoders)
			c.simple = inputs == 1 && outputs == 1
			if outputs != 1 {
				p.fail("a coder has %d outputs", outputs)
			}
		}
		if flags&0x20 != 0 {
			c.properties = p.bytes(p.number())
		}
		if flags&0x80 != 0 {
			p.fail("a coder has alternatives")
		}
		in += inputs
		f.coders = append(f.coders, c)
	}
	if len(f.coders) == 0 || in < len(f.coders)-1 {
		p.fail("a folder has no coders, or too few streams")
		return
	}
	bound := make([]bool, len(f.coders))
	for range len(f.coders) - 1 {
		p.number()
		if out := p.number(); out < uint64(len(bound)) {
			bound[out] = true
		}
	}
	for i, b := range bound {
		if !b {
			f.main = i
		}
	}
	if f.packed = in - (len(f.coders) - 1); f.packed > 1 {
		for range f.packed {
			p.number()
		}
	}
}

func (p *parser) subStreams(folders []folder) {
	id := p.byte()
	counts := make([]int, len(folders))
	total := 0
	for i := range folders {
		counts[i] = 1
		if id == idNumberOfUnpack {
			counts[i] = p.count(maxFiles)
		}
		if total += counts[i]; total > maxFiles {
			p.fail("it has more than %d files", maxFiles)
			return
		}
	}
	if id == idNumberOfUnpack {
		id = p.byte()
	}
	for i := range folders {
		f := &folders[i]
		if counts[i] == 0 || p.err != nil {
			continue
		}
		left := f.size()
		for k := range counts[i] {
			size := left
			if k < counts[i]-1 {
				if id != idSize {
					p.fail("the sizes of its files are not there")
					return
				}
				size = p.number()
			}
			if size > left {
				p.fail("its files have more bytes than their folder")
				return
			}
			left -= size
			f.parts = append(f.parts, size)
		}
		f.partDigests = make([]digest, counts[i])
	}
	if id == idSize {
		id = p.byte()
	}
	if id == idCRC {
		p.subDigests(folders)
		id = p.byte()
	} else {
		for i := range folders {
			if f := &folders[i]; len(f.parts) == 1 {
				f.partDigests[0] = f.digest
			}
		}
	}
	if p.err == nil && id != idEnd {
		p.fail("property %#x is not known", id)
	}
}

// subDigests reads the checksums of files, which stand for those that their folder does not give.
func (p *parser) subDigests(folders []folder) {
	var missing []*digest
	for i := range folders {
		f := &folders[i]
		if len(f.parts) == 1 && f.digest.known {
			f.partDigests[0] = f.digest
			continue
		}
		for k := range f.partDigests {
			missing = append(missing, &f.partDigests[k])
		}
	}
	for i, d := range p.digests(len(missing)) {
		*missing[i] = d
	}
}

// member is what is said of a file: its name, whether it has content, and whether that is
// where it links to.
type member struct {
	name        string
	empty, link bool
}

// files reads what is said of files.
func (p *parser) files() []member {
	out := make([]member, p.count(maxFiles))
	n := len(out)
	for p.err == nil {
		id := p.byte()
		if id == idEnd {
			return out
		}
		inner := parser{b: p.bytes(p.number())}
		switch id {
		case idEmptyStream:
			for i, b := range inner.bits(n) {
				out[i].empty = b
			}
		case idNames:
			if inner.byte() != 0 {
				p.fail("its names are elsewhere")
				return nil
			}
			for i := range out {
				out[i].name = inner.name()
			}
		case idAttributes:
			inner.attributes(out)
		}
		if p.err == nil {
			p.err = inner.err
		}
	}
	return out
}

// attributes tells links, by the mode of Unix in the upper half of what Windows has.
func (p *parser) attributes(members []member) {
	defined := make([]bool, len(members))
	if all := p.byte() != 0; !all {
		defined = p.bits(len(members))
	} else {
		for i := range defined {
			defined[i] = true
		}
	}
	if p.byte() != 0 {
		p.fail("its attributes are elsewhere")
		return
	}
	for i := range members {
		if defined[i] && p.err == nil {
			members[i].link = binary.LittleEndian.Uint32(p.bytes(4))>>16&0xf000 == 0xa000
		}
	}
}

func (p *parser) name() string {
	var out []uint16
	for p.err == nil {
		b := p.bytes(2)
		c := binary.LittleEndian.Uint16(b)
		if c == 0 {
			break
		}
		if out = append(out, c); len(out) > 1<<15 {
			p.fail("a name is too long")
		}
	}
	return string(utf16.Decode(out))
}
