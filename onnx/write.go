package onnx

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"assay/onnx/internal/pb"
)

// maxMessageSize is what protobuf allows a message; ONNX Runtime refuses larger files.
const maxMessageSize = math.MaxInt32

// Encode gives the model in the ONNX format, the same bytes for the same model. All
// content goes into the one message, which protobuf limits to 2 GB.
func (m *Model) Encode() ([]byte, error) {
	p, err := (&encoder{}).pieces(m)
	if err != nil {
		return nil, err
	}
	buf := bytes.NewBuffer(make([]byte, 0, p.size))
	if err := p.writeTo(buf); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// Save writes the model to one file, whole or not at all, without holding a second
// copy of its content in memory. A model over 2 GB needs [Model.SaveExternal].
func (m *Model) Save(path string) error {
	p, err := (&encoder{}).pieces(m)
	if err == nil {
		err = writeFile(path, p.writeTo)
	}
	if err != nil {
		return fmt.Errorf("save model: %w", err)
	}
	return nil
}

// SaveExternal writes the model to a file, and tensors of a kilobyte and more to a
// second file beside it, as models over 2 GB must be. The second file is named
// after the first and the digest of its content, "net-0123456789abcdef.data" beside
// "net.onnx", so a model that was there before stays whole until the new one takes
// its place; what that one kept beside it is not removed.
func (m *Model) SaveExternal(path string) error {
	if err := m.saveExternal(path); err != nil {
		return fmt.Errorf("save model: %w", err)
	}
	return nil
}

func (m *Model) saveExternal(path string) error {
	location := &pb.Entry{Key: "location"} // of all tensors; its value is known once they are written
	e := &encoder{beside: &besideFile{location: location}}
	message, err := e.model(m)
	if err != nil {
		return err
	}
	temp, err := createTemp(path)
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	digest, err := e.beside.write(temp)
	if err != nil {
		return err
	}
	base := filepath.Base(path)
	location.Value = strings.TrimSuffix(base, filepath.Ext(base)) + "-" + hex.EncodeToString(digest[:8]) + ".data"
	p, err := e.split(message)
	if err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), filepath.Join(filepath.Dir(path), location.Value)); err != nil {
		return err
	}
	return writeFile(path, p.writeTo)
}

// Content from besideThreshold bytes on goes into the file beside the model, each
// at a multiple of besideAlignment, which suits any element and a processor's cache.
const (
	besideThreshold = 1 << 10
	besideAlignment = 64
)

// besideFile lays out the content of tensors in a file beside the model.
type besideFile struct {
	location *pb.Entry
	tensors  []*Tensor
	end      int64
}

func (b *besideFile) place(t *Tensor) []*pb.Entry {
	offset := (b.end + besideAlignment - 1) / besideAlignment * besideAlignment
	b.tensors = append(b.tensors, t)
	b.end = offset + t.byteSize()
	return []*pb.Entry{
		b.location,
		{Key: "offset", Value: strconv.FormatInt(offset, 10)},
		{Key: "length", Value: strconv.FormatInt(t.byteSize(), 10)},
	}
}

// write writes the content and gives its digest.
func (b *besideFile) write(f *os.File) (digest []byte, err error) {
	sum := sha256.New()
	err = finish(f, func(file io.Writer) error {
		w := io.MultiWriter(file, sum)
		at := int64(0)
		for _, t := range b.tensors {
			padding := (besideAlignment - at%besideAlignment) % besideAlignment
			if _, err := w.Write(make([]byte, padding)); err != nil {
				return err
			}
			if err := t.writeContent(w); err != nil {
				return err
			}
			at += padding + t.byteSize()
		}
		return nil
	})
	return sum.Sum(nil), err
}

func (t *Tensor) byteSize() int64 { return t.Type.ByteSize(t.Len()) }

// writeContent writes the tensor's bytes. Content in another file is not kept.
func (t *Tensor) writeContent(w io.Writer) error {
	if t.external != nil {
		return t.external.copyTo(w, t)
	}
	if want := t.byteSize(); int64(len(t.raw)) != want {
		return fmt.Errorf("tensor %q: shape %v of %s wants %d bytes, it has %d", t.Name, t.Shape, t.Type, want, len(t.raw))
	}
	_, err := w.Write(t.raw)
	return err
}

// pieces is a message as it will be written: bytes, some followed by a tensor's
// content.
type pieces struct {
	list []piece
	size int64
}

type piece struct {
	bytes   []byte
	content *Tensor
}

func (p *pieces) writeTo(w io.Writer) error {
	for _, piece := range p.list {
		if _, err := w.Write(piece.bytes); err != nil {
			return err
		}
		if piece.content != nil {
			if err := piece.content.writeContent(w); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *encoder) pieces(m *Model) (*pieces, error) {
	message, err := e.model(m)
	if err != nil {
		return nil, err
	}
	return e.split(message)
}

// split is the reverse of unmarshal: it puts the tensors' content where the message
// has its number.
func (e *encoder) split(message *pb.Model) (*pieces, error) {
	skeleton, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode model: %w", err)
	}
	p := &pieces{}
	p.size = e.lower(p, skeleton, message.ProtoReflect().Descriptor())
	if p.size > maxMessageSize {
		return nil, fmt.Errorf("the model takes %d MB, more than the 2 GB of one ONNX file: save it with its weights in a file beside it (SaveExternal)", p.size>>20)
	}
	return p, nil
}

// lower appends the pieces of a message to p and gives their size.
func (e *encoder) lower(p *pieces, src []byte, md protoreflect.MessageDescriptor) int64 {
	size := int64(0)
	for len(src) > 0 {
		num, wire, n := protowire.ConsumeField(src)
		field := src[:n]
		src = src[n:]
		fd := md.Fields().ByNumber(num)
		inner := wire == protowire.BytesType && fd.Message() != nil
		isRaw := md == tensorMessage && num == fieldRaw
		if !inner && !isRaw {
			p.list = append(p.list, piece{bytes: field})
			size += int64(n)
			continue
		}
		_, _, tag := protowire.ConsumeTag(field)
		head := len(p.list)
		p.list = append(p.list, piece{})
		value, _ := protowire.ConsumeBytes(field[tag:])
		var length int64
		if isRaw {
			p.list[head].content = e.tensors[binary.LittleEndian.Uint64(value)]
			length = p.list[head].content.byteSize()
		} else {
			length = e.lower(p, value, fd.Message())
		}
		p.list[head].bytes = protowire.AppendVarint(field[:tag:tag], uint64(length))
		size += int64(len(p.list[head].bytes)) + length
	}
	return size
}

// createTemp makes a file in the folder of path, to take its place once complete.
func createTemp(path string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
}

// writeFile writes a file, whole or not at all.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := createTemp(path)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := finish(f, write); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// finish fills and closes a temporary file.
func finish(f *os.File, write func(io.Writer) error) error {
	w := bufio.NewWriterSize(f, 1<<16)
	err := write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
