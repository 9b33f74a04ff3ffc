import { cases } from './swiglu.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('swiglu', cases);
