"""Looking into a transform: the evaluation trace as a table, every stage as text, the computational graph as a picture.

Each part turns a `Subject` (what was compiled, and the values of a call where there are any) into an object whose text
is the same, byte for byte, every time.
"""

from adcompile.inspect.graph import Graph, graph
from adcompile.inspect.stages import source, stages
from adcompile.inspect.subject import Subject
from adcompile.inspect.table import Row, Table
from adcompile.inspect.tables import table

__all__ = ["Graph", "Row", "Subject", "Table", "graph", "source", "stages", "table"]
