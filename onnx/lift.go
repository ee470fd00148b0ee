package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"assay/onnx/internal/pb"
)

// Limits on what a file may make the reader allocate. A node of a few bytes takes
// some 500 bytes in memory, so what a model's structure takes is limited by the
// size of the file: a small one cannot fill the memory, and in a large one nodes
// have names, attributes and types, which cost little more than their bytes.
const (
	baseMemory    = 128 << 20 // of structure, whatever the size of the file
	memoryPerByte = 8         // of the file, on top
	maxDepth      = 64        // of messages in messages
)

// unmarshal reads a protobuf Model without copying the tensors' content: the
// protobuf library copies every bytes field, which would hold a model of several
// GB twice. So the content is lifted out of the wire form first, and each raw_data
// that the library sees is the number of a content, a view of data.
func unmarshal(data []byte) (*pb.Model, []content, error) {
	m := &pb.Model{}
	l := &lifter{memory: baseMemory + memoryPerByte*len(data)}
	if err := l.message(data, m.ProtoReflect().Descriptor(), 0); err != nil {
		return nil, nil, err
	}
	opts := proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxDepth + 1}
	if err := opts.Unmarshal(l.skeleton, m); err != nil {
		return nil, nil, err
	}
	return m, l.contents, nil
}

// content is a tensor's content as it stands in the file: raw bytes, or elements
// in the form of a packed field.
type content struct {
	raw   []byte
	typed []typedField
}

type typedField struct {
	num    protowire.Number
	packed []byte
}

// Fields of a Tensor message that hold its content.
const (
	fieldFloats  protowire.Number = 4
	fieldInt32s  protowire.Number = 5
	fieldInt64s  protowire.Number = 7
	fieldRaw     protowire.Number = 9
	fieldDoubles protowire.Number = 10
	fieldUint64s protowire.Number = 11
)

type lifter struct {
	skeleton []byte
	contents []content
	memory   int // bytes that structure may still take
}

var (
	tensorMessage = (&pb.Tensor{}).ProtoReflect().Descriptor()

	errTooDeep = fmt.Errorf("it nests messages more than %d deep", maxDepth)
	errTooMany = errors.New("it has more nodes, attributes and other parts than a model of its size can have")
	errCut     = errors.New("it is cut short or damaged")
)

// memoryOf is about what a message takes in memory, once read and turned into
// this package's types.
func memoryOf(md protoreflect.MessageDescriptor) int {
	switch md.Name() {
	case "Node", "Attribute", "Tensor", "Graph", "Function":
		return 512
	}
	return 128
}

// memoryOfText is about what a string takes besides its bytes.
const memoryOfText = 48

// message appends the wire form of a message of type md to the skeleton, with
// contents replaced by their numbers and fields that md does not have left out.
func (l *lifter) message(src []byte, md protoreflect.MessageDescriptor, depth int) error {
	if depth > maxDepth {
		return errTooDeep
	}
	l.memory -= memoryOf(md)
	var lifted *content
	for len(src) > 0 {
		if l.memory < 0 {
			return errTooMany
		}
		num, wire, n := protowire.ConsumeField(src)
		if n < 0 {
			return errCut
		}
		field := src[:n:n]
		src = src[n:]
		fd := md.Fields().ByNumber(num)
		switch {
		case fd == nil:
		case md == tensorMessage && isContent(num):
			if lifted == nil {
				lifted = &content{}
			}
			if err := lifted.add(num, wire, field); err != nil {
				return err
			}
		case wire == protowire.BytesType && fd.Message() != nil:
			if err := l.submessage(field, fd.Message(), depth); err != nil {
				return err
			}
		default:
			if wire == protowire.BytesType {
				l.memory -= memoryOfText
			}
			l.skeleton = append(l.skeleton, field...)
		}
	}
	if l.memory < 0 {
		return errTooMany
	}
	if lifted != nil {
		number := binary.LittleEndian.AppendUint64(nil, uint64(len(l.contents)))
		l.skeleton = protowire.AppendTag(l.skeleton, fieldRaw, protowire.BytesType)
		l.skeleton = protowire.AppendBytes(l.skeleton, number)
		l.contents = append(l.contents, *lifted)
	}
	return nil
}

// submessage appends a field that holds a message. How long it becomes is known
// only afterwards, so its length goes into a place of fixed size, as a varint with
// leading zeros.
func (l *lifter) submessage(field []byte, md protoreflect.MessageDescriptor, depth int) error {
	_, _, tag := protowire.ConsumeTag(field)
	inner, _ := protowire.ConsumeBytes(field[tag:])
	l.skeleton = append(l.skeleton, field[:tag]...)
	const lengthSize = 6
	at := len(l.skeleton)
	l.skeleton = append(l.skeleton, make([]byte, lengthSize)...)
	if err := l.message(inner, md, depth+1); err != nil {
		return err
	}
	length := len(l.skeleton) - at - lengthSize
	for i := range lengthSize {
		l.skeleton[at+i] = byte(length>>(7*i))&0x7f | 0x80
	}
	l.skeleton[at+lengthSize-1] &^= 0x80
	return nil
}

// wireOf is the wire type of one element of a content field.
func wireOf(num protowire.Number) protowire.Type {
	switch num {
	case fieldFloats:
		return protowire.Fixed32Type
	case fieldDoubles:
		return protowire.Fixed64Type
	case fieldInt32s, fieldInt64s, fieldUint64s:
		return protowire.VarintType
	}
	return protowire.BytesType
}

func isContent(num protowire.Number) bool {
	return num == fieldRaw || wireOf(num) != protowire.BytesType
}

// add takes a field of content. Elements may come packed, one by one, or as a
// mixture; in each case their bytes one after the other are the packed form.
func (c *content) add(num protowire.Number, wire protowire.Type, field []byte) error {
	_, _, tag := protowire.ConsumeTag(field)
	elements := field[tag:]
	switch wire {
	case protowire.BytesType:
		elements, _ = protowire.ConsumeBytes(elements)
	case wireOf(num):
	default:
		return errCut
	}
	if num == fieldRaw {
		c.raw = elements
		return nil
	}
	for i := range c.typed {
		if f := &c.typed[i]; f.num == num {
			f.packed = append(f.packed, elements...) // a view of the file is full, so this copies it
			return nil
		}
	}
	c.typed = append(c.typed, typedField{num, elements})
	return nil
}

// field gives the elements of a field in packed form.
func (c *content) field(num protowire.Number) []byte {
	for _, f := range c.typed {
		if f.num == num {
			return f.packed
		}
	}
	return nil
}

// varints reads n packed varints and hands each to put, or reports that there are
// not exactly n.
func varints(packed []byte, n int64, put func(uint64)) error {
	read := int64(0)
	for ; len(packed) > 0; read++ {
		v, size := protowire.ConsumeVarint(packed)
		if size < 0 {
			return errCut
		}
		if packed = packed[size:]; read < n {
			put(v)
		}
	}
	if read != n {
		return fmt.Errorf("it has %d elements", read)
	}
	return nil
}
