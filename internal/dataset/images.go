package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const (
	maxImageFile = 64 << 20 // bytes
	maxPixels    = 1 << 24
)

// imageFormat is a folder with one folder of PNG and JPEG files for each class. All
// have one size. Values are 0 to 255, in channels (1: grey, 3: red, green, blue),
// height, width; what is transparent is seen on black. No link leads out of the folder.
type imageFormat struct {
	dir     string
	classes []string
	images  []imageFile
	shape   []int
}

type imageFile struct {
	name  string // in the folder, with slashes
	class string
}

func openImages(ctx context.Context, dir string, o *Options) (format, error) {
	f := &imageFormat{dir: dir}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	folders, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		if !folder.IsDir() || hidden(folder) {
			continue
		}
		entries, err := fs.ReadDir(root.FS(), folder.Name())
		if err != nil {
			return nil, err
		}
		before := len(f.images)
		for _, e := range entries {
			if !e.IsDir() && !hidden(e) {
				f.images = append(f.images, imageFile{path.Join(folder.Name(), e.Name()), folder.Name()})
			}
		}
		if len(f.images) > before {
			f.classes = append(f.classes, folder.Name())
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	if len(f.images) == 0 {
		return nil, errors.New("is a folder without class folders that hold images: give a file, or a folder with one folder of PNG and JPEG files for each class")
	}
	if f.shape = o.Schema.Shape; len(f.shape) == 0 {
		f.shape, err = f.firstShape(ctx, root)
	} else if len(f.shape) != 3 || f.shape[0] != 1 && f.shape[0] != 3 {
		err = fmt.Errorf("holds images, but the schema's shape %v is not 1 or 3 channels, height, width", f.shape)
	}
	return f, err
}

func hidden(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") }

// firstShape is the shape of the first file that is an image.
func (f *imageFormat) firstShape(ctx context.Context, root *os.Root) ([]int, error) {
	var first error
	for _, file := range f.images {
		data, err := readImage(ctx, root, file.name)
		if err == nil {
			var c image.Config
			if c, _, err = imageConfig(data); err == nil {
				channels := 3
				if grey(c.ColorModel) {
					channels = 1
				}
				return []int{channels, c.Height, c.Width}, nil
			}
		}
		if first == nil {
			first = fmt.Errorf("no file is a readable image; %s %w", file.name, err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return nil, first
}

func (f *imageFormat) files() ([]string, error) {
	paths := make([]string, len(f.images))
	for i, file := range f.images {
		paths[i] = filepath.Join(f.dir, filepath.FromSlash(file.name))
	}
	return paths, nil
}

func (f *imageFormat) layout() layout {
	return layout{shape: f.shape, pixels: true, label: "folder", classes: slices.Clone(f.classes), rows: int64(len(f.images))}
}

func (f *imageFormat) records(ctx context.Context, visit func(*record) error) error {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	n, err := elements(f.shape)
	if err != nil {
		return err
	}
	rec := record{values: make([]float32, n)}
	for _, file := range f.images {
		rec.row++
		rec.file, rec.label, rec.bad = filepath.Join(f.dir, filepath.FromSlash(file.name)), cell{text: file.class}, nil
		data, err := readImage(ctx, root, file.name)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err == nil {
			err = f.decode(data, rec.values)
		}
		if err != nil {
			rec.bad = rec.fail("", "replace the file, or take it away", "%v", err)
		}
		if err := visit(&rec); err != nil {
			return err
		}
	}
	return nil
}

func readImage(ctx context.Context, root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name) // a pipe or device would block or never end
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxImageFile {
		return nil, fmt.Errorf("is not a regular file of at most %d MB", maxImageFile>>20)
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(&contextReader{ctx, file}, maxImageFile))
}

// imageConfig reads an image's size and colours from its header, and says how to decode it.
func imageConfig(data []byte) (c image.Config, decode func(io.Reader) (image.Image, error), err error) {
	switch {
	case bytes.HasPrefix(data, []byte("\x89PNG")):
		c, err = png.DecodeConfig(bytes.NewReader(data))
		decode = png.Decode
	case bytes.HasPrefix(data, []byte("\xff\xd8")):
		c, err = jpeg.DecodeConfig(bytes.NewReader(data))
		decode = jpeg.Decode
	default:
		err = errors.New("is neither a PNG nor a JPEG file")
	}
	if err == nil && (c.Width < 1 || c.Height < 1 || c.Width > maxPixels/c.Height) {
		err = fmt.Errorf("claims to be %d×%d pixels, more than %d", c.Width, c.Height, maxPixels)
	}
	return c, decode, err
}

func grey(m color.Model) bool { return m == color.GrayModel || m == color.Gray16Model }

// decode writes an image's channels one after the other.
func (f *imageFormat) decode(data []byte, x []float32) error {
	c, decode, err := imageConfig(data)
	if err != nil {
		return err
	}
	channels, height, width := f.shape[0], f.shape[1], f.shape[2]
	if c.Height != height || c.Width != width {
		return fmt.Errorf("is %d×%d pixels where the others are %d×%d", c.Width, c.Height, width, height)
	}
	if channels == 1 && !grey(c.ColorModel) {
		return fmt.Errorf("is in colour where the others are grey (declare the shape [3, %d, %d] in the schema to read all in colour)", height, width)
	}
	img, err := decode(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("cannot be decoded: %w", err)
	}
	bounds := image.Rect(0, 0, width, height)
	if channels == 1 {
		plane := image.NewGray(bounds)
		draw.Draw(plane, bounds, img, img.Bounds().Min, draw.Src)
		for i, v := range plane.Pix {
			x[i] = float32(v)
		}
		return nil
	}
	rgba := image.NewRGBA(bounds)
	draw.Draw(rgba, bounds, img, img.Bounds().Min, draw.Src)
	for p := range width * height {
		for c := range 3 {
			x[c*width*height+p] = float32(rgba.Pix[4*p+c])
		}
	}
	return nil
}
