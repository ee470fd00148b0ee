package pickle

// harmlessTable are objects that do no more than hold data, whatever they are called with:
// they run nothing that they are given, and reach no file and no network.
const harmlessTable = `
builtins: set frozenset bytearray bytes complex int float str bool list tuple dict object slice range NoneType Ellipsis NotImplemented ellipsis reversed enumerate zip Exception ValueError TypeError KeyError IndexError RuntimeError AttributeError NotImplementedError StopIteration OverflowError ZeroDivisionError ArithmeticError LookupError OSError Warning UserWarning DeprecationWarning FutureWarning
collections: OrderedDict Counter deque ChainMap UserDict UserList UserString
datetime: datetime date time timedelta timezone tzinfo
decimal: Decimal
_decimal: Decimal
fractions: Fraction
logging: getLogger Logger
array: array _array_reconstructor
uuid: UUID SafeUUID
pathlib: PurePath PurePosixPath PureWindowsPath Path PosixPath WindowsPath
pathlib._local: PurePath PurePosixPath PureWindowsPath Path PosixPath WindowsPath
argparse: Namespace
types: SimpleNamespace
random: Random
itertools: count cycle chain repeat islice product
ipaddress: IPv4Address IPv6Address IPv4Network IPv6Network
zoneinfo: ZoneInfo ZoneInfo._unpickle
pytz: _UTC _p utc
re: _compile RegexFlag
copyreg: _reconstructor
numpy: ndarray generic number bool_ bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 float128 longdouble complex64 complex128 str_ bytes_ void object_ datetime64 timedelta64 intc uintc intp uintp longlong ulonglong recarray record
numpy.core.multiarray: _reconstruct scalar
numpy._core.multiarray: _reconstruct scalar
numpy.core.numeric: _frombuffer
numpy._core.numeric: _frombuffer
numpy.rec: recarray record
numpy.ma.core: _mareconstruct
numpy.random: RandomState Generator
numpy.random.mtrand: RandomState
numpy.random._mt19937: MT19937
numpy.random._pcg64: PCG64 PCG64DXSM
numpy.random._philox: Philox
numpy.random._sfc64: SFC64
numpy.random._pickle: __randomstate_ctor __bit_generator_ctor __generator_ctor
numpy.random.bit_generator: SeedSequence __pyx_unpickle_SeedSequence
torch: Size FloatStorage DoubleStorage HalfStorage BFloat16Storage LongStorage IntStorage ShortStorage CharStorage ByteStorage BoolStorage ComplexFloatStorage ComplexDoubleStorage QInt8Storage QUInt8Storage QInt32Storage QUInt4x2Storage QUInt2x4Storage UntypedStorage device dtype float32 float64 float16 bfloat16 float8_e4m3fn float8_e5m2 int64 int32 int16 int8 uint8 bool complex64 complex128 qint8 quint8 qint32 float double half long int short strided sparse_coo per_tensor_affine per_channel_affine contiguous_format channels_last preserve_format DoubleTensor FloatTensor HalfTensor LongTensor IntTensor ShortTensor CharTensor ByteTensor Tensor Generator
torch.cuda: FloatStorage DoubleStorage HalfStorage BFloat16Storage LongStorage IntStorage ShortStorage CharStorage ByteStorage BoolStorage
torch.storage: UntypedStorage TypedStorage _UntypedStorage _TypedStorage
torch.serialization: _get_layout
torch._utils: _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter _rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_tensor _rebuild_sparse_csr_tensor _rebuild_meta_tensor_no_storage _rebuild_nested_tensor _rebuild_device_tensor_from_numpy _rebuild_device_tensor_from_cpu_tensor
torch._tensor: Tensor
torch.jit._pickle: build_boollist build_doublelist build_intlist build_tensorlist
torch.nn.parameter: Parameter Buffer UninitializedParameter
torch.nn: Parameter
torch.nn.modules.activation: ReLU
torch.nn.functional: relu gelu silu softmax tanh sigmoid leaky_relu elu
torch.distributions.constraints: _Real _Positive
sklearn.tree._tree: Tree
sklearn.neighbors._dist_metrics: newObj EuclideanDistance EuclideanDistance64 MinkowskiDistance MinkowskiDistance64 ManhattanDistance ManhattanDistance64
sklearn.metrics._dist_metrics: newObj EuclideanDistance EuclideanDistance64 MinkowskiDistance MinkowskiDistance64 ManhattanDistance ManhattanDistance64
sklearn.neighbors._kd_tree: newObj KDTree KDTree64
sklearn.neighbors._ball_tree: newObj BallTree BallTree64
sklearn.utils: Bunch
sklearn.linear_model._sgd_fast: Log Hinge SquaredLoss Huber ModifiedHuber EpsilonInsensitive SquaredHinge SquaredEpsilonInsensitive
sklearn._loss._loss: __pyx_unpickle_CyHalfBinomialLoss __pyx_unpickle_CyHalfSquaredError __pyx_unpickle_CyHalfMultinomialLoss CyHalfBinomialLoss CyHalfSquaredError CyHalfMultinomialLoss
sklearn.linear_model._stochastic_gradient: SGDClassifier
pandas._libs.tslibs.timestamps: Timestamp _unpickle_timestamp
pandas._libs.tslibs.timedeltas: Timedelta _timedelta_unpickle
pandas._libs.tslibs.nattype: _nat_unpickle
pandas._libs.tslibs.offsets: BaseOffset Day Hour Minute Second
pandas._libs.internals: _unpickle_block BlockPlacement
pandas._libs.arrays: __pyx_unpickle_NDArrayBacked NDArrayBacked
pandas.core.internals.managers: _unpickle_block
scipy.sparse.csr: csr_matrix
scipy.sparse.csc: csc_matrix
scipy.sparse.coo: coo_matrix
scipy.special: expit
joblib.numpy_pickle: NumpyArrayWrapper NDArrayWrapper
tokenizers: AddedToken Tokenizer
omegaconf.dictconfig: DictConfig
omegaconf.listconfig: ListConfig
omegaconf.base: ContainerMetadata Metadata
omegaconf.nodes: AnyNode
typing: Any
`

// dangerousTable is what is known to be dangerous: modules as a whole, and module:name. It
// only says more of what is not allowed anyway.
const dangerousTable = `
critical! it runs a command of the file's choice
os posix nt subprocess pty popen2 asyncio multiprocessing _posixsubprocess pip ensurepip venv distutils setuptools sh pexpect
imaplib:IMAP4_stream uuid:_get_command_stdout uuid:_popen _osx_support _aix_support _pyrepl test webbrowser antigravity platform:popen platform:_syscmd_ver
torch.utils.collect_env torch._inductor.codecache torch._inductor torch.utils.cpp_extension torch.multiprocessing torch.distributed.rpc torch.distributed.run torch.distributed.launcher
numpy.distutils numpy.testing._private.extbuild numpy.distutils.exec_command:exec_command
mlflow.projects fabric invoke paramiko
critical! it runs Python code of the file's choice
builtins:eval builtins:exec builtins:compile builtins:execfile builtins:apply builtins:__import__ builtins:breakpoint builtins:input
runpy code codeop interpreters _interpreters _xxsubinterpreters bdb pdb cProfile profile timeit trace doctest idlelib lib2to3 site sitecustomize
torch.utils.bottleneck torch.jit.unsupported_tensor_ops torch.fx torch._dynamo torch.jit:load torch.jit._script torch.utils.data.datapipes torch.package torch.hub
numpy.testing numpy.f2py pandas.eval:eval pandas.core.computation pandas:eval
numexpr sympy:sympify ast:literal_eval IPython jupyter_client xmlrpc.server
dataclasses:make_dataclass dataclasses:_create_fn collections:namedtuple collections:_namedtuple enum:_make_class_unpicklable string:Formatter
tensorflow.python.keras.layers.core:Lambda keras.layers.core:Lambda keras.src.layers.core.lambda_layer:Lambda
critical! it makes a function from code that the file brings
types:CodeType types:FunctionType types:LambdaType types:MethodType types:ModuleType types:GenericAlias types:coroutine types:new_class _types
dill._dill dill cloudpickle cloudpickle.cloudpickle cloudpickle.cloudpickle_fast joblib.externals.cloudpickle joblib.externals.loky.cloudpickle_wrapper
marshal numba.core.serialize
critical! it imports what the file chooses, or gives what the file names
importlib imp pkgutil zipimport pydoc sys inspect gc
builtins:globals builtins:locals builtins:vars builtins:setattr builtins:delattr builtins:property builtins:super builtins:classmethod builtins:staticmethod builtins:memoryview
operator:attrgetter operator:methodcaller operator:itemgetter _operator:attrgetter _operator:methodcaller _operator:itemgetter operator:call _operator:call
copyreg:add_extension copyreg:pickle copyreg:constructor
critical! it has functions called that it is given
functools:reduce functools:cached_property functools:partialmethod functools:singledispatch _functools:reduce
builtins:map builtins:filter builtins:sorted builtins:max builtins:min builtins:any builtins:all builtins:sum builtins:iter builtins:next
itertools:starmap itertools:accumulate itertools:groupby itertools:takewhile itertools:dropwhile itertools:filterfalse itertools:tee
weakref:finalize weakref:ref atexit threading _thread concurrent sched signal faulthandler
unittest unittest.mock contextlib:ExitStack contextvars
critical! it loads another file, in which anything can be
pickle _pickle shelve dbm torch:load torch.serialization:load torch.storage:_load_from_bytes_unsafe joblib:load joblib.numpy_pickle:load joblib.numpy_pickle_utils:_unpickle numpy:load numpy.lib.npyio:load numpy.lib._npyio_impl:load pandas:read_pickle pandas.io.pickle:read_pickle torch.utils._config_module
numpy.ctypeslib ctypes _ctypes cffi numpy:loadtxt tensorflow:load_library tensorflow.raw_ops
mlflow:pyfunc jsonpickle yaml:load yaml:unsafe_load yaml:full_load
critical! it opens a file, a connection or a library
builtins:open io:open io:FileIO io:open_code _io:open _io:FileIO _io:open_code codecs:open tempfile shutil pathlib:Path.write_text pathlib:Path.write_bytes pathlib:Path.unlink glob fileinput linecache mmap
logging logging.handlers logging.config distutils.file_util zipfile tarfile sqlite3 gzip:open bz2:open lzma:open
socket _socket ssl _ssl socketserver http urllib ftplib smtplib poplib imaplib nntplib telnetlib xmlrpc wsgiref requests aiohttp httpx urllib3 websocket
numpy:fromfile numpy:genfromtxt numpy:fromregex numpy:savez_compressed numpy:memmap numpy:save numpy:savez numpy:savetxt numpy:DataSource numpy.lib._datasource torch:save torch.serialization:save pandas.io pandas:read_csv pandas:read_html pandas:read_sql pandas:DataFrame.to_csv
winreg _winapi msilib nturl2path pwd grp spwd resource fcntl termios tty curses readline
high! it prints, waits or does what has no part in loading a model
builtins:print builtins:exit builtins:quit builtins:help builtins:dir builtins:hash builtins:id builtins:callable builtins:copyright builtins:credits builtins:license time:sleep warnings
turtle tkinter
`

// libraryModules are the modules of Python's own library (3.8 to 3.14, and those of 2.7
// that unpicklers map), as far as the tables above do not name them.
const libraryModules = `
__future__ __main__builtins _abc _ast _asyncio _bisect _blake2 _bz2 _codecs _collections _collections_abc _compat_pickle _compression _contextvars _csv _datetime _decimal _elementtree _functools _heapq _imp _io _json _locale _lsprof _lzma _markupbase _operator _osx_support _pickle _posixshmem _py_abc _pydatetime _pydecimal _pyio _queue _random _signal _sitebuiltins _socket _sqlite3 _sre _ssl _stat _statistics _string _strptime _struct _symtable _thread _threading_local _tkinter _tracemalloc _uuid _warnings _weakref _weakrefset _xxsubinterpreters _zoneinfo
abc aifc argparse array ast asynchat asyncore audioop base64 binascii binhex bisect builtins bz2 cProfile calendar cgi cgitb chunk cmath cmd codecs collections colorsys compileall configparser contextlib contextvars copy copyreg crypt csv dataclasses datetime decimal difflib dis email encodings enum errno filecmp fileinput fnmatch formatter fractions ftplib functools genericpath getopt getpass gettext graphlib gzip hashlib heapq hmac html io ipaddress itertools json keyword linecache locale lzma macpath mailbox mailcap math mimetypes modulefinder netrc nis ntpath numbers opcode operator optparse ossaudiodev parser pathlib pickletools pipes pkgutil platform plistlib posixpath pprint pstats py_compile pyclbr pydoc_data pyexpat queue quopri random re reprlib rlcompleter sched secrets select selectors shlex smtpd sndhdr spwd sre_compile sre_constants sre_parse stat statistics string stringprep struct sunau symbol symtable sysconfig syslog tabnanny textwrap this time token tokenize tomllib traceback tracemalloc types typing unicodedata uu uuid warnings wave weakref xdrlib xml zipapp zlib zoneinfo
`
