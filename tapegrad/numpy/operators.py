import operator
from .elementwise import *
from ..primitives.define import elementwise
neg=elementwise(np.negative, lambda g,_y,_x:-g)
for n,f,op in [('add',add,operator.add),('sub',subtract,operator.sub),('mul',multiply,operator.mul),('truediv',divide,operator.truediv)]:
    a,b=f.operator(op); setattr(Tracer,f'__{n}__',a); setattr(Tracer,f'__r{n}__',b)
Tracer.__neg__=neg.operator
