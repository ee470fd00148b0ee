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

// Limits on what a file may make the reader allocate. The largest published
// models have some ten thousand nodes.
const (
	maxMessages = 1 << 20 // nodes, attributes, tensors, types ... together
	maxDepth    = 64      // of messages in messages
)

// unmarshal reads a protobuf Model without copying the tensors' payloads: the
// protobuf library copies every bytes field, which would hold a model of several
// GB twice. So the payloads are lifted out of the wire form first, and each
// raw_data that the library sees is the number of a payload, a view of data.
func unmarshal(data []byte) (*pb.Model, [][]byte, error) {
	m := &pb.Model{}
	l := &lifter{}
	skeleton, err := l.message(nil, data, m.ProtoReflect().Descriptor(), 0)
	if err != nil {
		return nil, nil, err
	}
	opts := proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxDepth + 1}
	if err := opts.Unmarshal(skeleton, m); err != nil {
		return nil, nil, err
	}
	return m, l.payloads, nil
}

type lifter struct {
	payloads [][]byte
	messages int
}

var (
	rawData = (&pb.Tensor{}).ProtoReflect().Descriptor().Fields().ByName("raw_data")

	errTooDeep = fmt.Errorf("it nests messages more than %d deep", maxDepth)
	errTooMany = fmt.Errorf("it has more than %d nodes, attributes and other parts", maxMessages)
	errCut     = errors.New("it is cut short or damaged")
)

// message appends the wire form of a message of type md to dst, with payloads
// replaced by their numbers and fields that md does not have left out.
func (l *lifter) message(dst, src []byte, md protoreflect.MessageDescriptor, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	if l.messages++; l.messages > maxMessages {
		return nil, errTooMany
	}
	for len(src) > 0 {
		num, wire, n := protowire.ConsumeField(src)
		if n < 0 {
			return nil, errCut
		}
		field := src[:n]
		src = src[n:]
		fd := md.Fields().ByNumber(num)
		switch {
		case fd == nil:
		case wire != protowire.BytesType || (fd.Message() == nil && fd != rawData):
			dst = append(dst, field...)
		default:
			_, _, tag := protowire.ConsumeTag(field)
			content, _ := protowire.ConsumeBytes(field[tag:])
			dst = append(dst, field[:tag]...)
			if fd == rawData {
				dst = protowire.AppendVarint(dst, 8)
				dst = binary.LittleEndian.AppendUint64(dst, uint64(len(l.payloads)))
				l.payloads = append(l.payloads, content)
				continue
			}
			inner, err := l.message(nil, content, fd.Message(), depth+1)
			if err != nil {
				return nil, err
			}
			dst = protowire.AppendBytes(dst, inner)
		}
	}
	return dst, nil
}
