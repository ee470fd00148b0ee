package pickle

import (
	"encoding/binary"
	"fmt"
	"strings"

	"assay/internal/scan"
)

// storage is the data of tensors that a stream of PyTorch's refers to by a persistent id.
type storage struct{ bytes int64 }

const maxStorages = 1 << 18

// elementSizes are the bytes of an element, by the class of the storage.
var elementSizes = map[string]int64{
	"DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4, "ShortStorage": 2,
	"CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1, "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16,
	"QInt8Storage": 1, "QUInt8Storage": 1, "QInt32Storage": 4, "QUInt4x2Storage": 1, "QUInt2x4Storage": 1, "UntypedStorage": 1,
}

// persistentID gives what the loader makes of an id: PyTorch's are ("storage", class, key,
// location, elements, …) and, in old files of whole models, ("module", class, file, source).
func (j *judge) persistentID(id value) value {
	v := j.m.heap.add(node{kind: persistent, args: id, at: j.m.at})
	tag, _ := j.in.text(j.item(id, 0))
	class := j.item(id, 1)
	if class.kind() == global && id.kind() == tuple {
		g := j.imported(class)
		size := elementSizes[g.name]
		root, _, _ := strings.Cut(g.module, ".")
		switch {
		case tag == "storage" && size > 0 && root == "torch" && g.entry.verdict == allowed:
			key, _ := j.in.text(j.item(id, 2))
			if n, ok := j.item(id, 4).int(); ok && n >= 0 && len(j.storages) < maxStorages && len(key) < 64 {
				j.storages[key] = storage{n * size}
			}
			return v
		case tag == "module" && g.entry.verdict == allowed:
			return class
		}
	}
	if s, ok := j.in.text(id); j.tar && ok && len(s) < 20 && strings.Trim(s, "0123456789") == "" {
		return v // of the tensors in the archive
	}
	j.tell("pickle-persistent-id", scan.Unknown, "", "BINPERSID", fmt.Sprintf("It asks the loader for the object %s, and what that is the file does not say.", j.show(id)), nil)
	return v
}

// persistentText is a persistent id of protocol 0.
func (j *judge) persistentText(id string) value {
	j.tell("pickle-persistent-id", scan.Unknown, "", "PERSID", fmt.Sprintf("It asks the loader for the object %s, and what that is the file does not say.", shown(id, 60)), nil)
	return j.m.heap.add(node{kind: persistent, at: j.m.at})
}

// legacy recognises PyTorch's format before version 1.6 from what its five streams give,
// and tells how many bytes of storages follow them (torch/serialization.py, _legacy_save):
// for each key of the last stream the number of elements in 8 bytes, and the elements.
func (j *judge) legacy(results []value, keys int) (int64, bool) {
	if len(results) != 5 || results[0].kind() != magic || results[4].kind() != list || keys != len(j.storages) {
		return 0, false
	}
	var total int64
	for _, s := range j.storages {
		total += 8 + s.bytes
	}
	return total, true
}

// record goes over what follows a stream in the files that PyTorch before 0.1.10 packed by
// tar (torch/serialization.py, _load of legacy tar files). A file begins with how many there
// are; each stream then gives a key, a place and a class, and after it come the elements of
// a storage with their number, or the sizes and strides of a tensor.
func (m *machine) record(first, last value) (bool, error) {
	j := m.judge
	if n, ok := first.int(); !ok || n < 0 || n > maxStorages || last.kind() != tuple {
		return false, nil
	}
	class := j.item(last, 2)
	if class.kind() != global {
		return false, nil
	}
	g := j.imported(class)
	size := elementSizes[g.name]
	tensor := strings.HasSuffix(g.name, "Tensor")
	if root, _, _ := strings.Cut(g.module, "."); root != "torch" || size == 0 && !tensor {
		return false, nil
	}
	j.otherwise()
	b, err := m.in.take(8)
	if err != nil {
		return false, err
	}
	n := int64(binary.LittleEndian.Uint64(b))
	if tensor {
		n, size = 2*int64(binary.LittleEndian.Uint32(b))+1, 8
	}
	if n < 0 || n > 1<<46 {
		return false, errEnd
	}
	return true, m.in.skip(n * size)
}
